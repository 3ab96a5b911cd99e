from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.plain_json import plain_data

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float32("nan"), np.float64("inf")])
def test_what_json_has_no_number_for_becomes_none(number: Any) -> None:
    assert plain_data({"a": [number, (number, 1)]}) == {"a": [None, [None, 1]]}


def test_numbers_of_numpy_paths_and_keys_become_what_json_has() -> None:
    given_ = {3: np.float32(0.5), "path": Path("a") / "b", "NaN": "NaN", "yes": True}
    assert json.dumps(plain_data(given_)) == '{"3": 0.5, "path": "a/b", "NaN": "NaN", "yes": true}'


@given(PLAIN)
def test_what_is_plain_stays_as_it_is_and_comes_back(value: Any) -> None:
    assert plain_data(value) == value
    assert json.loads(json.dumps(plain_data(value), allow_nan=False)) == value
