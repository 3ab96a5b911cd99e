from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spine_ignite.errors import RunError
from spine_ignite.inference.levels.calibration import (
    Calibration,
    JudgedColumn,
    Support,
    basis_of,
    number_patients,
    read_calibration,
    write_calibration,
)
from spine_ignite.inference.levels.certificate import Certifier
from spine_ignite.inference.levels.column import Column, name_column
from spine_ignite.inference.levels.exponents import NAMING, naming_settings
from spine_ignite.inference.levels.familiarity import Familiarity
from spine_ignite.inference.levels.hypotheses import Given
from spine_ignite.inference.levels.record import describe
from spine_ignite.inference.levels.traits import TRAITS
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import make_phantom

SCHEME = load_scheme("mrspineseg")
MEMBER = {"weights": "a" * 64, "views": ["as it is"], "window": None, "overlap": None}
SETTINGS: dict[str, Any] = {
    "members": [MEMBER, {**MEMBER, "weights": "b" * 64}],
    "postprocess": ["levels"],
    "naming": naming_settings(),
}
BASIS = basis_of(SETTINGS, SCHEME)
ONE = basis_of({**SETTINGS, "members": [MEMBER]}, SCHEME)


def known(count: int, wrong: int = 0, posterior: float = 0.9) -> tuple[JudgedColumn, ...]:
    return tuple(JudgedColumn(posterior, number >= wrong, number) for number in range(count))


@pytest.fixture(scope="module")
def column() -> Column:
    phantom = make_phantom(5)
    return name_column(SCHEME.to_indices(phantom.label), phantom.affine, SCHEME)


def test_a_sure_column_is_accepted_where_enough_patients_say_so(column: Column) -> None:
    certificate = Certifier(0.02, Calibration(BASIS, known(149)), ONE).certify(column)
    assert certificate.accepted
    said = describe(column, certificate)["column"]
    assert (said["verdict"], said["risk"], said["reasons"]) == ("accepted", 0.02, [])
    assert said["calibration"] == (
        "of 149 patients with a posterior of at least 0.5 none had a wrong column: at most 2 %, with 95 % confidence"
    )
    assert said["rests_on"]["patients_above"] == 149
    assert said["rests_on"]["bound"] == pytest.approx(0.0199, abs=1e-4)
    assert said["rests_on"]["networks"] == 1
    assert json.loads(json.dumps(said["rests_on"])) == said["rests_on"]


def test_of_a_mean_of_networks_it_says_that_each_was_counted_by_itself(column: Column) -> None:
    one, mean = (Certifier(0.02, Calibration(BASIS, known(149)), basis).certify(column) for basis in (ONE, BASIS))
    assert mean.calibration == f"{one.calibration}; counted of each network by itself, assumed of their mean"
    assert mean.accepted
    assert mean.rests_on == {**(one.rests_on or {}), "networks": 2}


def test_a_column_below_the_threshold_is_asked_about(column: Column) -> None:
    wrong = tuple(JudgedColumn(column.score, False, 1000 + number) for number in range(9))
    above = tuple(JudgedColumn(0.9999, True, number) for number in range(149))
    certificate = Certifier(0.02, Calibration(BASIS, (*above, *wrong)), ONE).certify(column)
    assert not certificate.accepted
    assert certificate.rests_on is not None
    assert certificate.rests_on["threshold"] > column.score


def test_too_few_cases_accept_nothing_and_say_what_they_support(column: Column) -> None:
    certifier = Certifier(0.02, Calibration(BASIS, known(148)), ONE)
    certificate = certifier.certify(column)
    assert not certificate.accepted
    assert certificate.calibration == (
        "uncalibrated at a risk of 2 %: 148 patients, none of them with a wrong column, support 2.1 % at the least; "
        "149 are needed"
    )
    assert replace(certifier, risk=0.021).certify(column).accepted
    nothing = Certifier(0.02, Calibration(BASIS, known(10, wrong=10)), ONE).certify(column)
    assert "10 patients, 10 of them with a wrong column, support no risk" in nothing.calibration


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"members": [{**MEMBER, "weights": "c" * 64}]}, "it was calibrated with other weights"),
        ({"members": [MEMBER, {**MEMBER, "weights": "c" * 64}]}, "it was calibrated with other weights"),
        ({"members": [{**MEMBER, "views": ["as it is", "mirrored"]}]}, "it was calibrated with other views or windows"),
        ({"postprocess": ["levels", "holes"]}, "it was calibrated with another clean-up"),
        (
            {"naming": {**naming_settings(), "model": NAMING - 1}},
            "it was calibrated with another version of the naming",
        ),
        ({"naming": None}, "it was calibrated with another version of the naming"),
    ],
)
def test_what_is_made_in_another_way_is_uncalibrated(column: Column, change: dict[str, Any], words: str) -> None:
    calibration = Calibration(BASIS, known(200))
    assert Certifier(0.02, calibration, BASIS).certify(column).accepted
    certificate = Certifier(0.02, calibration, basis_of({**SETTINGS, **change}, SCHEME)).certify(column)
    assert (certificate.accepted, certificate.calibration) == (False, f"uncalibrated: {words}")


def test_other_classes_and_another_model_of_the_naming_are_uncalibrated(column: Column) -> None:
    other = basis_of(SETTINGS, load_scheme("spine"))
    assert "other classes" in Certifier(0.02, Calibration(other, known(200)), BASIS).certify(column).calibration
    other = {**BASIS, "naming": {**BASIS["naming"], "names": 1.5}}
    assert "another version of the naming" in (
        Certifier(0.02, Calibration(other, known(200)), BASIS).certify(column).calibration
    )
    older = basis_of({name: value for name, value in SETTINGS.items() if name != "naming"}, SCHEME)
    certificate = Certifier(0.02, Calibration(older, known(200)), older).certify(column)
    assert not certificate.accepted, "two that say nothing of the naming are not known to have the same"


def test_without_a_calibration_nothing_is_accepted(column: Column) -> None:
    assert describe(column)["column"]["verdict"] == "ask"
    assert describe(column)["column"]["calibration"].startswith("uncalibrated: a label map alone")
    certificate = Certifier(0.4, None, BASIS).certify(column)
    assert (certificate.accepted, certificate.rests_on) == (False, None)
    assert certificate.calibration.startswith("uncalibrated: no cases are known")


def test_phantoms_calibrate_for_phantoms(column: Column) -> None:
    phantoms = tuple(replace(c, phantom=True) for c in known(200))
    certifier = Certifier(0.02, Calibration(BASIS, phantoms), ONE)
    assert certifier.certify(column, phantom=True).accepted
    certificate = certifier.certify(column)
    assert not certificate.accepted
    assert certificate.calibration == (
        "uncalibrated: it was calibrated on phantoms alone, which says nothing of people"
    )


def test_what_speaks_against_the_input_and_what_a_person_says_is_not_accepted_by_a_posterior(column: Column) -> None:
    certifier = Certifier(0.02, Calibration(BASIS, known(200)), ONE)
    usual = [{"step_mm": 36 + 0.1 * number} for number in range(40)]
    beside = replace(certifier, calibration=Calibration(BASIS, known(200), people=Familiarity.fit(usual)))
    assert beside.certify(column, traits={"step_mm": 37.0}).accepted
    certificate = beside.certify(column, traits={"step_mm": 80.0})
    assert not certificate.accepted
    said = describe(column, certificate)["column"]
    assert said["reasons"] == said["asked_for"] == [TRAITS["step_mm"].unlike]
    assert not certifier.certify(replace(column, given=Given({0: "L5"}))).accepted
    empty = name_column(np.zeros((4, 4, 4), np.uint8), np.eye(4), SCHEME)
    assert not certifier.certify(empty).accepted


def test_a_patient_counts_once_by_the_least_favourable_column() -> None:
    columns = (
        JudgedColumn(0.9, True, 1),
        JudgedColumn(0.8, True, 1),
        JudgedColumn(0.99, True, 2),
        JudgedColumn(0.6, False, 2),
        JudgedColumn(0.7, False, 2),
        JudgedColumn(0.95, True, 3),
        JudgedColumn(0.99, False, 3, asked=True),
    )
    for order in (columns, columns[::-1]):
        assert sorted(Support(order).patients) == [(0.7, False), (0.8, True), (0.95, True)]
    assert Support(columns[:2] * 100).threshold(0.02) is None, "200 columns of one patient are one case"


def test_a_calibration_is_kept_whole_and_names_nobody(tmp_path: Path) -> None:
    numbers = number_patients(["Miller", "Jones", "Miller"])
    calibration = Calibration(BASIS, tuple(JudgedColumn(0.98, True, numbers[name]) for name in ("Miller", "Jones")))
    path = tmp_path / "calibration.json"
    assert read_calibration(path) is None
    write_calibration(path, calibration)
    assert read_calibration(path) == calibration
    assert "Miller" not in path.read_text()


@pytest.mark.parametrize("damage", [lambda t: t[:50], lambda t: t.replace('"format": 2', '"format": 9'),
                                    lambda t: t.replace("0.98", "1.98"), lambda t: "[]"])  # fmt: skip
def test_a_damaged_calibration_is_refused(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "calibration.json"
    write_calibration(path, Calibration(BASIS, (JudgedColumn(0.98, True, 0),)))
    path.write_text(damage(path.read_text()))
    with pytest.raises(RunError, match="calibration.json cannot be read .*cross-validate --resume"):
        read_calibration(path)
