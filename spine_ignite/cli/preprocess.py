"""``spine-ignite preprocess``."""

from __future__ import annotations

from pathlib import Path

import click

from spine_ignite.cli.options import (
    config_options,
    echo_json,
    json_option,
    print_table,
    progress_bar,
    say,
)
from spine_ignite.names import counted


@click.command(epilog="\b\nExample:\n  spine-ignite preprocess dataset --config configs/mrspineseg.yaml")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@config_options
@click.option("--export-nifti", type=click.Path(path_type=Path), help="Also write every slice as a NIfTI file here.")
@json_option
def command(
    folder: Path | None, config_file: Path | None, overrides: tuple[str, ...], export_nifti: Path | None, as_json: bool
) -> None:
    """Turn the dataset in FOLDER (default: data.root) into slices; what is unchanged is reused."""
    from spine_ignite.config import load_config
    from spine_ignite.places import require_apart
    from spine_ignite.slices.build import build_store
    from spine_ignite.slices.place import store_folder

    data = load_config(config_file, overrides).data
    if folder is not None:
        data = data.model_copy(update={"root": folder})
    if export_nifti is not None:
        require_apart({"--export-nifti": export_nifti}, {**data.roots, "data.cache": store_folder(data)})
    result = build_store(data, lambda cases: progress_bar(cases, "Preprocessing"))
    files = 0
    if export_nifti is not None:
        from spine_ignite.slices.nifti_export import export_nifti as export

        files = export(result.store, export_nifti, lambda cases: progress_bar(cases, "Exporting"))
    for note in result.notes:
        say(f"Note: {note}", err=True)
    counts = result.store.counts()
    equal = []
    for group in result.store.duplicates():
        equal.append([f"{case.split}/{case.name}" for case in group])
        across = len({case.split for case in group}) > 1
        leak = "; a test case that is trained on flatters the result" if across else ""
        say(f"Warning: {', '.join(equal[-1])} are the same image{leak}", err=True)
    if as_json:
        cases = {"built": result.built, "reused": result.reused, "removed": result.removed}
        echo_json(
            {"store": str(result.store.root), "slices": counts, "cases": cases, "duplicates": equal, "exported": files}
        )
        return
    rows = [
        [split, str(len(result.store.split(split))), str(counts[split]["source"]), str(counts[split]["label"])]
        for split in counts
    ]
    print_table("Slices", ["split", "cases", "source", "label"], rows)
    rows_mm, columns_mm = result.store.settings.spacing
    say(f"In-plane spacing {rows_mm:g} x {columns_mm:g} mm (rows x columns)")
    say(f"Cases: {result.built} built, {result.reused} reused, {result.removed} removed")
    say(f"Slice store: {result.store.root}")
    if export_nifti is not None:
        say(f"{counted(files, 'file')} written to {export_nifti}")
