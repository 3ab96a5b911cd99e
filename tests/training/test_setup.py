from __future__ import annotations

from pathlib import Path

import pytest

from spine_ignite.config import load_config
from spine_ignite.training.prepare import prepare
from spine_ignite.training.setup import build


@pytest.mark.parametrize(
    ("model", "align_corners"),
    [
        (["model.name=pspnet", "model.backbone=resnet18", "model.channels=8"], True),
        (["model.width=4", "model.depth=3", "model.deep_supervision=true"], False),
    ],
)
def test_a_run_resizes_auxiliary_logits_as_its_architecture_says(
    tiny_dataset: Path, model: list[str], align_corners: bool
) -> None:
    overrides = [f"data.root={tiny_dataset}", "data.scheme=lumbar-vertebrae", "precision=fp32", *model]
    config = load_config(None, overrides)
    run = build(prepare(config))
    assert run.step.criterion.aux_align_corners is align_corners
