"""Networks that were trained on a few wrong masks still tell which they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from spine_ignite.config import load_config
from spine_ignite.crossval.cross_validate import cross_validate


@pytest.mark.slow
def test_two_spoilt_masks_of_sixteen_come_first(tmp_path: Path, write_volume: Callable[..., Path]) -> None:
    rng = np.random.default_rng(1)
    for number in range(1, 17):
        mask = np.zeros((48, 64, 3), np.uint8)
        for place, value in enumerate((2, 3, 4)):
            low = 6 + 18 * place + int(rng.integers(-1, 2))
            mask[14:34, low : low + 13] = value
        image = 60 * (mask > 0) + 40 * mask + rng.normal(0, 5, mask.shape)
        if number == 3:
            mask[mask > 0] += 1  # L5 is called L4, and so on
        if number == 8:
            mask[mask == 3] = 0
        write_volume(tmp_path / "data" / "train" / "source" / f"Case{number}.nii.gz", image.astype(np.int16))
        write_volume(tmp_path / "data" / "train" / "label" / f"mask_case{number}.nii.gz", mask)
    settings = {
        "data.root": tmp_path / "data",
        "data.scheme": "lumbar-vertebrae",
        "data.spacing": [1, 1],
        "data.size": [48, 64],
        "data.folds": 2,
        "data.batch_size": 8,
        "model.width": 6,
        "model.depth": 4,
        "train.epochs": 5,
        "train.steps_per_epoch": 20,
        "optimizer.lr": 0.02,
        "augment.enabled": False,
        "log.tensorboard": False,
        "log.doctor": False,
        "device": "cpu",
    }
    result = cross_validate(load_config(None, given=settings), tmp_path / "out", echo=lambda _line: None, pictures=2)
    first, second, *others = result.suspects
    assert {(first.case, first.kind), (second.case, second.kind)} == {
        ("Case3", "levels"),
        ("Case8", "missing in mask"),
    }
    assert second.score > 1.2 * others[0].score
    assert [path.name for path in sorted((tmp_path / "out" / "suspects").iterdir())] == [
        f"001_{first.case}.png",
        f"002_{second.case}.png",
    ]
    page = (tmp_path / "out" / "suspects.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    assert all(suspect.says in page for suspect in result.suspects)
