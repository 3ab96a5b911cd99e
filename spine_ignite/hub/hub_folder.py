"""Write a folder for a model hub."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from spine_ignite.config import load_config
from spine_ignite.files import make_folder
from spine_ignite.hub.card import gather, write_card
from spine_ignite.inference.export import describe_network, save_weights, why_left_out
from spine_ignite.inference.levels.carried import told
from spine_ignite.inference.network_sources import HUB_FILE, checkpoint_file
from spine_ignite.inference.same_logits import Compared
from spine_ignite.places import require_apart
from spine_ignite.runs.directory import open_run_directory

CARD = "README.md"
CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class HubFolder:
    """A folder that was written.

    Attributes:
        folder: where it is.
        source: the checkpoint.
        files: in it.
        compared: of the network's file.
        notes: what the card lacks, and why.
        levels: whether the levels that it names are calibrated; None if those of its run are not either.
    """

    folder: Path
    source: Path
    files: tuple[str, ...]
    compared: Compared
    notes: tuple[str, ...]
    levels: str | None = None


def export_hub(
    root: Path,
    folder: Path,
    *,
    checkpoint: str = "best",
    half: bool = False,
    license_id: str | None = None,
    calibration: bool = True,
) -> HubFolder:
    """Write the network of a run as a folder: ``model.safetensors``, ``config.json`` and a card, ``README.md``.

    Args:
        root: the run's directory.
        folder: a new one; its name is the model's.
        checkpoint: ``best``, ``last`` or a file.
        half: store weights in half precision.
        license_id: under which the network may be used, as an SPDX identifier.
        calibration: take along that of the cross-validation which the run is a fold of.

    Raises:
        UsageError: the folder would lie in the data, or the licence is none.
        RunError: the folder exists or cannot be written, or the network cannot be exported; nothing is left then.
    """
    run = open_run_directory(root)
    require_apart({"--out": folder}, load_config(run.config).data.roots)
    source = checkpoint_file(run, checkpoint)
    trained, header = describe_network(run, source, license_id, why_left_out(calibration, half=half))
    facts = gather(run, source, trained, header)
    with make_folder(folder) as part:
        compared = save_weights(trained, header, part / HUB_FILE, folder / HUB_FILE, half=half)
        (part / CARD).write_text(write_card(facts, folder.absolute().name, part / HUB_FILE), encoding="utf-8")
        shown = header.model_dump(mode="json", exclude={"sha256", "calibration"})
        shown["description"] = {key: value for key, value in shown["description"].items() if key != "images"}
        (part / CONFIG).write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return HubFolder(folder, source, (HUB_FILE, CONFIG, CARD), compared, facts.notes, told(header))
