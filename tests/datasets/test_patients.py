from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.config import load_config
from spine_ignite.datasets.patients import join_equal, patient_of, patients_of
from spine_ignite.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("12_t1", "12"),
        ("12_t2", "12"),
        ("12_t2_SPACE", "12"),
        ("sub-07_ses-1_T2w", "sub-07"),
        ("sub-07", "sub-07"),
        ("Case12", "Case12"),
        ("a_t1", "a_t1"),
    ],
)
def test_a_name_tells_the_patient(name: str, patient: str) -> None:
    assert patient_of(name) == patient


def test_a_pattern_says_who_is_who() -> None:
    assert patients_of(["P1-a", "P1-b", "P20"], r"P(\d+)") == {"P1-a": "1", "P1-b": "1", "P20": "20"}
    with pytest.raises(DataError, match=r"data.patients=P\(\\d\+\) finds no patient in the case Q1; widen it"):
        patients_of(["P1", "Q1"], r"P(\d+)")


@pytest.mark.parametrize("heading", ["case,patient,age\n{}1.nii.gz,Anna,4\n{}2,Anna,4\nother,Eva,9\n"])
def test_a_table_says_who_is_who(tmp_path: Path, heading: str) -> None:
    table = tmp_path / "who.csv"
    text = heading.format("Case", "case")
    for variant in (
        text,
        text.replace(",", ";"),
        text.replace(",", "\t"),
        "\ufeff" + text,
        text.replace("case,", "Case ,"),
    ):
        table.write_text(variant, encoding="utf-8")
        assert patients_of(["Case1", "Case2"], str(table)) == {"Case1": "Anna", "Case2": "Anna"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,patient\nCase1,Anna\n", "who.csv does not name the patient of the case Case2; add what is missing"),
        ("case,patient\nCase1,A\nCase2,B\ncase2,C\n", "gives the case case2 to two patients, B and C; keep one"),
        ("case,patient\nCase1,A\nCase2,\n", "names no patient for the case Case2; fill the column 'patient'"),
        ("case,name\n", "who.csv has no column 'patient'; give it a heading with case and patient"),
        ("case,patient\nCase1,M\xfcller\n", "who.csv is not UTF-8 (byte 20); save it as CSV in UTF-8"),
    ],
)
def test_a_table_that_leaves_doubt_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "who.csv").write_text(text, encoding="latin-1")
    with pytest.raises(DataError) as caught:
        patients_of(["Case1", "Case2"], str(tmp_path / "who.csv"))
    assert message in str(caught.value)


def test_a_pattern_needs_one_group() -> None:
    for pattern, message in (("P.*", "must have one group, the patient"), ("(", "neither a CSV file nor a regular")):
        with pytest.raises(UsageError, match=message):
            load_config(None, [f"data.patients='{pattern}'"])


CASES = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("123456"), st.booleans()), max_size=12)


@given(CASES)
def test_equal_images_join_their_patients(cases: list[tuple[str, str, bool]]) -> None:
    """Against the plain definition: whoever can be reached over common images is one patient."""
    joined = join_equal(cases)
    assert set(joined) == {patient for patient, _, _ in cases}
    for start in joined:
        reached = {start}
        while True:
            images = {voxels for patient, voxels, _ in cases if patient in reached}
            more = {patient for patient, voxels, _ in cases if voxels in images}
            if more <= reached:
                break
            reached |= more
        assert {patient for patient, name in joined.items() if name == joined[start]} == reached
        assert joined[start] in reached
        trained = {patient for patient, _, training in cases if training}
        assert joined[start] in trained or not reached & trained, "a test case does not rename whom it joins"
