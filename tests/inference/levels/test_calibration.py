from __future__ import annotations

import json

import numpy as np

from spine_ignite.inference.levels.calibration import Calibration, JudgedColumn
from spine_ignite.inference.levels.certificate import Certifier
from spine_ignite.inference.levels.column import name_column
from spine_ignite.inference.levels.familiarity import Familiarity
from spine_ignite.inference.levels.traits import TRAITS
from spine_ignite.labels import load_scheme
from spine_ignite.phantom import make_phantom

BASIS = {"networks": ["a" * 64], "answers": [], "classes": "", "postprocess": ["levels"], "naming": {"model": 0}}
SCHEME = load_scheme("mrspineseg")
STRANGE = {"noise": 60 * TRAITS["noise"].least, "grey_disc": 0.0}


def rows(rng: np.random.Generator, count: int, spread: float) -> list[dict[str, float]]:
    return [{name: float(rng.normal(0, spread * TRAITS[name].least)) for name in STRANGE} for _ in range(count)]


def test_phantoms_of_any_contrast_make_no_person_familiar() -> None:
    rng = np.random.default_rng(0)
    people, phantoms = rows(rng, 200, 2), rows(rng, 300, 60)
    columns = [JudgedColumn(0.9, True, number, number >= 200) for number in range(500)]
    known = Calibration.learn(BASIS, columns, [*people, *phantoms])
    assert Familiarity.fit([*people, *phantoms]).reasons(STRANGE) == [], "all together they would"
    phantom = make_phantom(5)
    column = name_column(SCHEME.to_indices(phantom.label), phantom.affine, SCHEME)
    for of in (known, Calibration.from_dict(json.loads(json.dumps(known.to_dict())))):
        certifier = Certifier(0.05, of, BASIS)
        certificate = certifier.certify(column, traits=STRANGE)
        assert (certificate.accepted, certificate.reasons) == (False, (TRAITS["noise"].unlike,))
        assert certifier.certify(column, traits={"noise": 0.0, "grey_disc": 0.0}).accepted
        assert certifier.certify(column, traits=STRANGE, phantom=True).accepted


def test_of_each_column_is_asked_by_its_own_traits_beside_other_patients_of_its_kind() -> None:
    """Patient 3 has a usual first series and a strange second one; patient 4 the other way round."""
    usual = rows(np.random.default_rng(1), 42, 2)
    columns = [JudgedColumn(0.9, True, number) for number in range(40)]
    columns += [JudgedColumn(0.9, True, 3), JudgedColumn(0.9, True, 4)]
    traits = [*usual[:4], STRANGE, *usual[5:]]
    traits[40] = {"noise": 2 * STRANGE["noise"], "grey_disc": 0.0}
    known = Calibration.learn(BASIS, columns, traits)
    asked = [place for place, column in enumerate(known.columns) if column.asked]
    assert {4, 40} <= set(asked)
    assert not {3, 41} & set(asked)
    assert len(known.people.rows) == 40, "one of each patient"
    for place in (0, 3, 4, 17, 40, 41):
        first = [traits[number] for number in range(40) if number != columns[place].patient]
        assert known.columns[place].asked == bool(Familiarity(tuple(first)).reasons(traits[place]))


def test_what_spoke_against_a_column_before_goes_on_to_and_unknown_traits_are_no_reason() -> None:
    columns = [JudgedColumn(0.9, True, 0, asked=True), JudgedColumn(0.9, True, 1), JudgedColumn(0.9, True, 2)]
    known = Calibration.learn(BASIS, columns, [{"noise": 0.1}, {}, {"noise": 0.1}])
    assert [column.asked for column in known.columns] == [True, False, False]
    assert len(known.people.rows) == 2
