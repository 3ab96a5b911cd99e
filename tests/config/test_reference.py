from __future__ import annotations

from pathlib import Path

from spine_ignite.config.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_schema_says() -> None:
    renew = "python -m spine_ignite.config.reference > docs/configuration.md"
    assert PAGE.read_text(encoding="utf-8") == reference(), f"renew it with: {renew}"


def test_nested_sections_are_there() -> None:
    page = reference()
    for key in ("data.patch.size", "augment.affine.degrees", "train.minutes", "optimizer.lr"):
        assert f"| `{key}` |" in page
