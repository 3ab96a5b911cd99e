from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from spine_ignite.config.augment import AugmentConfig, Transform


def test_every_transform_says_what_its_fields_mean() -> None:
    for name, field in AugmentConfig.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if isinstance(default, Transform):
            for key, inner in type(default).model_fields.items():
                assert inner.description, f"{name}.{key}"
        else:
            assert field.description, name


def test_by_default_nothing_is_mirrored_from_head_to_foot() -> None:
    assert AugmentConfig().flip.head_to_foot == 0


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"flip": {"p": 1.5}}, "less than or equal to 1"),
        ({"affine": {"degrees": [20, 10]}}, "degrees must run from low to high"),
        ({"affine": {"scale": [0.0, 1.0]}}, "greater than 0"),
        ({"affine": {"shear": [-90, 90]}}, "greater than or equal to -60"),
        ({"affine": {"degrees": [0, float("nan")]}}, "finite"),
        ({"elastic": {"magnitude": [0.0, 0.1]}}, r"0\.1 with 7 control points would fold the image: at most 0\.05"),
        ({"elastic": {"control_points": 3}}, "greater than or equal to 4"),
        ({"gamma": {"gamma": [0, 2]}}, "greater than 0"),
        ({"noise": {"std": [-0.1, 0.1]}}, "greater than or equal to 0"),
        ({"blur": {"sigma": [0, 500]}}, "less than or equal to 20"),
        ({"low_resolution": {"zoom": [0.5, 2]}}, "less than or equal to 1"),
        ({"ghosting": {"ghosts": [1, 4]}}, "greater than or equal to 2"),
        ({"ghosting": {"intensity": [0.1, 1.4]}}, "less than or equal to 1"),
        ({"contrast": {"gamma": [1, 2]}}, "Extra inputs"),
    ],
)
def test_values_out_of_range_are_refused(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AugmentConfig.model_validate(section)
