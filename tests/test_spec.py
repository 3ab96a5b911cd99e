from __future__ import annotations

from typing import Any

import pytest

from spine_ignite.spec import ModelOptions, ModelSpec, Paper

PAPER = Paper("Title", "A. Author", "Venue", 2020, "https://example.org", "author2020")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "UNet"}, "model name 'UNet' must match"),
        ({"aliases": ("a b",)}, "model name 'a b' must match"),
        ({"target": "module.Class"}, "must look like 'package.module:Name'"),
        ({"options": dict}, "must be a subclass of ModelOptions"),
        ({"size_multiple": 0}, "size_multiple of model 'x' must be at least 1, got 0"),
    ],
)
def test_a_wrong_spec_is_refused(change: dict[str, Any], message: str) -> None:
    right: dict[str, Any] = {"name": "x", "target": "a.b:C", "summary": "s", "paper": PAPER, "options": ModelOptions}
    ModelSpec(**right)
    with pytest.raises(ValueError, match=message):
        ModelSpec(**{**right, **change})
