from __future__ import annotations

import numpy as np

from spine_ignite.drawing.panels import gray, overlay, side_by_side
from spine_ignite.labels import IGNORE, load_scheme

SCHEME = load_scheme("mrspineseg")


def test_gray_spans_the_image_s_range() -> None:
    picture = gray(np.linspace(-3, 5, 10_000).reshape(100, 100))
    assert picture.shape == (100, 100, 3)
    assert (picture.min(), picture.max()) == (0, 255)


def test_structures_have_their_colour_and_background_none() -> None:
    image = np.zeros((4, 6))
    label = np.zeros((4, 6), np.uint8)
    label[1, 2] = 2
    label[3, 5] = IGNORE
    picture = overlay(image, label, SCHEME, opacity=1.0)
    assert tuple(picture[1, 2]) == SCHEME.classes[2].color
    assert tuple(picture[3, 5]) == (255, 255, 255)
    np.testing.assert_array_equal(picture[0], gray(image)[0])
    assert side_by_side(image, label, label, SCHEME).shape == (4, 18, 3)
