from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from spine_ignite.config import RunConfig, dump_config, load_config, parse_config
from spine_ignite.errors import UsageError

CONFIGS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


def test_a_list_is_beside_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And, on the command line, in the working folder."""
    folder, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    for place in (folder, elsewhere):
        place.mkdir()
    (folder / "config.yaml").write_text("data: {split: lists/a.yaml, patients: who.csv}")
    monkeypatch.chdir(elsewhere)
    data = load_config(Path("../study/config.yaml"), []).data
    assert data.split is not None
    assert data.patients is not None
    assert data.split.resolve() == folder / "lists" / "a.yaml"
    assert Path(data.patients).resolve() == folder / "who.csv"
    data = load_config(folder / "config.yaml", ["data.split=b.yaml", "data.patients=(.)x"]).data
    assert (data.split, data.patients) == (elsewhere / "b.yaml", "(.)x")
    assert load_config(folder / "config.yaml", ["data.split=null"]).data.split is None


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_shipped_configuration_is_valid_and_survives_a_round_trip(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    resolved = tmp_path / "config.yaml"
    resolved.write_text(dump_config(config))
    assert load_config(resolved) == config


def test_the_ready_experiments_are_there() -> None:
    assert {"demo", "mrspineseg", "lumbar", "few", "ready"} <= {path.stem for path in CONFIGS}


def test_few_cases_start_from_what_the_ready_network_is() -> None:
    """The same network on the same pixels, so that every weight fits but those of other classes."""
    few, ready = (load_config(path) for path in CONFIGS if path.stem in ("few", "ready"))
    assert few.train.start_from is not None
    assert few.train.start_from.source == "ready"
    assert few.model == ready.model
    for key in ("spacing", "context_slices", "clip_percentiles", "border"):
        assert getattr(few.data, key) == getattr(ready.data, key)


def test_overrides_reach_every_depth_and_keep_their_types() -> None:
    config = load_config(
        None,
        [
            "train.epochs=3",
            "optimizer.lr=1e-4",
            "data.patch.size=[64, 96]",
            "model.name=ccnet",
            "model.recurrence=2",
            "data.fold=null",
            "augment.torchio=[{RandomSwap: {patch_size: 8}}]",
        ],
    )
    assert config.train.epochs == 3
    assert config.optimizer.lr == 1e-4
    assert config.data.patch.size == (64, 96)
    assert (config.model.name, config.model.options) == ("ccnet", {"recurrence": 2})
    assert config.augment.torchio == ({"RandomSwap": {"patch_size": 8}},)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", r"unknown key 'train.epoch'. Did you mean 'epochs'\?"),
        ("trian.epochs=3", r"unknown key 'trian'. Did you mean 'train'\?"),
        ("augment.affine.degree=[1, 2]", r"Did you mean 'degrees'\?"),
        ("data.batch_size=0", r"data.batch_size: must be a whole number of at least 1, or auto \(got 0\)"),
        ("data.batch_size=all", r"data.batch_size: must be a whole number of at least 1, or auto \(got 'all'\)"),
        ("data.fold=5", "fold 5 does not exist: folds are numbered 0 to 4"),
        ("data.clip_percentiles=[90, 10]", "clip_percentiles must satisfy"),
        ("data.in_channels=3", "in_channels is 3, but context_slices 0 gives 1"),
        ("train={epochs: 2, minutes: 3}", "give epochs or minutes, not both"),
        ("augment.gamma.gamma=[2, 1]", "gamma must run from low to high"),
        ("train.freeze=encoder", r"train.freeze: must be a list, as in \[a, b\] \(got 'encoder'\)$"),
        ("data.root=[1]", r"data.root: must be a path \(got \[1\]\)$"),
        (
            "loss.class_weights=autos",
            r"loss.class_weights: must be auto, or weights by class, as in {L5: 2} \(got 'autos'\)$",
        ),
        (
            "loss.class_weights={L5: -2}",
            "loss.class_weights: the weight of L5 must be a finite number from 0 up, not -2$",
        ),
        ("loss.class_weights={L5: .nan}", "the weight of L5 must be a finite number from 0 up, not nan$"),
        ("loss.class_weights={L5: .inf}", "the weight of L5 must be a finite number from 0 up, not inf$"),
        ("train.epochs.x=3", "unknown key|valid integer|not a section"),
        ("epochs", "must look like section.key=value"),
        ("train.epochs=[", "the value is not YAML"),
    ],
)
def test_a_wrong_key_or_value_is_refused_in_one_sentence(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load_config(None, [override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- 1\n- 2\n", "a: [1", "\x00", "!!python/object/apply:os.system [ls]"])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"bad\.yaml"):
        load_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml does not exist"):
        load_config(tmp_path / "none.yaml")


def test_an_empty_file_means_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.write_text("")
    assert load_config(path) == RunConfig()


def test_a_configuration_cannot_be_changed_after_validation() -> None:
    config = parse_config({})
    with pytest.raises(ValueError, match="frozen"):
        config.train.epochs = 3  # type: ignore[misc]


def test_the_dump_is_plain_yaml() -> None:
    assert yaml.safe_load(dump_config(RunConfig()))["optimizer"]["name"] == "adamw"


@pytest.mark.parametrize("way", ["given", "override"])
def test_another_model_than_the_files_has_none_of_its_options(tmp_path: Path, way: str) -> None:
    path, said = tmp_path / "a.yaml", list[str]()
    path.write_text("model: {name: unet, width: 64, depth: 6}\ntrain: {epochs: 7}\n")
    changes = ["model.recurrence=3", "train.epochs=9"]
    if way == "given":
        config = load_config(path, changes, given={"model.name": "ccnet", "data.root": None}, echo=said.append)
    else:
        config = load_config(path, ["model.name=ccnet", *changes], echo=said.append)
    assert (config.model.name, config.model.options, config.train.epochs) == ("ccnet", {"recurrence": 3}, 9)
    assert said == ["Note: the file's options of unet (width, depth) are left out, since the model is ccnet"]


def test_the_files_own_model_keeps_its_options(tmp_path: Path) -> None:
    path, said = tmp_path / "a.yaml", list[str]()
    for text, name in (
        ("{name: unet, width: 64}", "unet"),
        ("{width: 64}", "unet"),
        ("{name: typo, width: 64}", "typo"),
    ):
        path.write_text(f"model: {text}\n")
        config = load_config(path, ["model.depth=3"], given={"model.name": name}, echo=said.append)
        assert config.model.options == {"width": 64, "depth": 3}
    assert said == []


def test_an_alias_or_a_distribution_names_the_same_model(tmp_path: Path) -> None:
    path, said = tmp_path / "a.yaml", list[str]()
    path.write_text("model: {name: unet, width: 64}\n")
    config = load_config(path, given={"model.name": "spine-ignite-unet:unet"}, echo=said.append)
    assert config.model.options == {"width": 64}
    assert said == []


def test_what_options_give_is_no_yaml(tmp_path: Path) -> None:
    for name in ("1e3", "null", "[a]", "a: b", "007", "~"):
        assert load_config(None, given={"data.root": Path(name)}).data.root == Path(name)


def test_a_configuration_comes_from_a_file_a_dict_or_another(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("model: {name: unet, width: 8}\ntrain: {epochs: 7, ema: 0.9}\n")
    nested = {"model": {"name": "unet", "width": 8}, "train": {"epochs": 7, "ema": 0.9}}
    dotted = {"model.name": "unet", "model.width": 8, "train": {"epochs": 3, "ema": 0.9}, "train.epochs": 7}
    kept = {key: dict(value) if isinstance(value, dict) else value for key, value in dotted.items()}
    found = [load_config(source) for source in (file, str(file), nested, dotted)]
    assert all(one == found[0] for one in found)
    assert dotted == kept  # the caller's own is left alone
    assert load_config(found[0]) is found[0]
    assert load_config({"train.epochs": 9, "train": {"ema": 0.9}}).train.epochs == 9  # sections are merged
    changed = [load_config(found[0], how) for how in ("seed=3", ["seed=3"], {"seed": 3})]
    assert [(one.seed, one.train.epochs) for one in changed] == [(3, 7)] * 3
    assert load_config({"data.split": "mine.json"}).data.split == Path.cwd() / "mine.json"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"trian": {"epochs": 2}}, "trian"),
        ({"train.epoch": 2}, "epoch"),
        ({"train": 3, "train.epochs": 2}, "'train' is a value, not a section"),
        ([("train", 3)], "a configuration is a YAML file, a dict of sections .* got list"),
        (3, "a configuration is a YAML file"),
        ("no.yaml", "no.yaml does not exist"),
    ],
)
def test_what_is_no_configuration_is_refused(source: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(source)  # type: ignore[arg-type]
