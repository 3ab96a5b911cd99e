from __future__ import annotations

import copy
import resource
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spine_ignite.config import load_config
from spine_ignite.errors import RunError
from spine_ignite.labels import load_scheme
from spine_ignite.models import create_model
from spine_ignite.runs.checkpoints import load_network
from spine_ignite.runs.description import Description
from spine_ignite.runs.weights import build_network
from spine_ignite.training.run import train

OPTIONS = {"width": 4, "depth": 2}
WEIGHTS = create_model("unet", 1, 8, **OPTIONS).state_dict()
STATE = Description(
    "unet", OPTIONS, 1, load_scheme("lumbar-vertebrae"), (1.0, 1.5), (0.5, 99.5), 0, (64, 32)
).state_dict()


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2, 5, 256, 2048, 10**9, 10**13, 2**63, 10**5000]),
    st.floats(),
    st.text(max_size=20),
    st.just("x" * 10**5),
    st.just(nested(5000)),
    st.lists(st.floats() | st.integers(), max_size=4),
    st.dictionaries(st.sampled_from(["width", "depth", "name", "classes", "backbone"]), st.integers(), max_size=3),
)


def places(value: Any) -> Iterator[list[Any]]:
    """The way to each part of plain data."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in entries:
        yield [key]
        yield from ([key, *rest] for rest in places(inner))


@contextmanager
def at_most(extra: int) -> Iterator[None]:
    """Let this process have no more than ``extra`` bytes of memory above what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    former = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + extra, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, former)


@given(st.lists(st.tuples(st.sampled_from(list(places(STATE))), JUNK | st.just(...)), min_size=1, max_size=2))
def test_whatever_is_wrong_with_a_description_is_told_in_a_sentence(changes: list[tuple[list[Any], Any]]) -> None:
    state = copy.deepcopy(STATE)
    for place, value in changes:
        holder: Any = state
        try:
            for key in place[:-1]:
                holder = holder[key]
            if value is ...:
                del holder[place[-1]]
            else:
                holder[place[-1]] = value
        except (KeyError, IndexError, TypeError):
            pass  # an earlier change has taken the place away
    path = Path("some.pt")
    try:
        with at_most(2**28):
            description = Description.from_state(state, path)
            network = build_network(description, WEIGHTS, path)
    except RunError as error:
        text = str(error)
        assert "some.pt" in text
        assert len(text) < 1200
        assert "MemoryError" not in text
        assert "allocate" not in text
    else:  # a name or a colour may have changed, or a value for an equal one
        assert description.in_channels == 1
        assert {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in WEIGHTS.items()}


def save(path: Path, weights: Any = WEIGHTS, **change: Any) -> Path:
    torch.save({"model": weights, "description": STATE | change}, path)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": ["unet"]}, "the description in .* cannot be used: model: input should be a valid string"),
        ({"spacing": [float("nan"), 1.0]}, "spacing.0: input should be a finite number"),
        ({"size": [64, 10**9]}, "size.1: input should be less than or equal to 16384"),
        ({"size": [16384, 16384]}, "size is 16384 x 16384, above 16,777,216 pixels"),
        ({"num_classes": 20}, "num_classes is 20, but its label scheme has 8"),
        ({"context_slices": 1}, "in_channels is 1, but context_slices 1 gives 3"),
        ({"clip_percentiles": [99, 1]}, "clip_percentiles must rise"),
        ({"options": {"width": 256, "depth": 8, "max_width": 2048}}, "the weights in .* do not fit the network"),
        ({"border": "constant"}, "border: input should be 'inside' or 'all'"),
        ({"frame": "constant"}, "unknown key 'frame'"),
    ],
)
def test_a_checkpoint_that_lies_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message), at_most(2**28):
        load_network(save(tmp_path / "last.pt", **change))


def test_a_checkpoint_from_before_the_rule_for_borders_keeps_the_old_one(tmp_path: Path) -> None:
    assert load_network(save(tmp_path / "new.pt")).description.border == "inside"
    old = {key: value for key, value in STATE.items() if key != "border"}
    torch.save({"model": WEIGHTS, "description": old}, tmp_path / "old.pt")
    assert load_network(tmp_path / "old.pt").description.border == "all"


@pytest.mark.parametrize("key", sorted(STATE.keys() - {"format", "border", "plugin", "images"}))
def test_a_checkpoint_without_a_field_is_refused(tmp_path: Path, key: str) -> None:
    torch.save({"model": WEIGHTS, "description": {k: v for k, v in STATE.items() if k != key}}, tmp_path / "last.pt")
    with pytest.raises(RunError, match=f"the description in .*last.pt cannot be used: {key} is missing"):
        load_network(tmp_path / "last.pt")


@pytest.mark.parametrize("weights", [None, [], {}, "text", torch.zeros(3), {1: torch.zeros(1)}])
def test_what_is_no_state_dict_is_refused(tmp_path: Path, weights: Any) -> None:
    with pytest.raises(RunError, match=r"last.pt holds no weights"):
        load_network(save(tmp_path / "last.pt", weights))


def test_tensors_that_are_larger_than_their_numbers_are_refused(tmp_path: Path) -> None:
    options = {"width": 256, "depth": 8, "max_width": 2048}
    with torch.device("meta"):
        wanted = create_model("unet", 1, 8, **options).state_dict()
    assert sum(value.numel() * value.element_size() for value in wanted.values()) > 2**30
    # One number each, repeated by a stride of zero: the shapes are right, and the file is small.
    weights = {name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in wanted.items()}
    path = save(tmp_path / "last.pt", weights, options=options)
    assert path.stat().st_size < 2**20
    with pytest.raises(RunError, match=r"last.pt is refused: its weights '.*' are larger than what the file holds"):
        load_network(path)


def test_a_compressed_archive_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = save(tmp_path / "plain.pt")
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for part in plain.namelist():
            bomb.writestr(part, plain.read(part) + bytes(2**22 if part.endswith("/0") else 0))
    with pytest.raises(RunError, match=r"bomb.pt cannot be read, .*: its parts are larger than the file"):
        load_network(tmp_path / "bomb.pt")
    torch.save({"model": WEIGHTS, "description": STATE}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(RunError, match=r"old.pt cannot be read, .*: it is not an archive of torch.save"):
        load_network(tmp_path / "old.pt")


def test_a_run_whose_checkpoints_could_not_be_read_does_not_start(tiny_dataset: Path, tmp_path: Path) -> None:
    settings = [f"data.root={tiny_dataset}", f"data.cache={tmp_path / 'cache'}", "data.scheme=lumbar-vertebrae"]
    config = load_config(None, [*settings, "data.size=[20000, 64]", "model.width=4", "model.depth=2", "device=cpu"])
    with pytest.raises(RunError, match=r"run cannot be used: size.0: input should be less than or equal to 16384"):
        train(config, tmp_path / "run", echo=lambda _line: None)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("plugin", ["acme", "acme 1.0; rm -rf /", "a'$(b) 1.0", 3])
def test_what_is_no_distribution_is_refused(tmp_path: Path, plugin: Any) -> None:
    """Its name stands in a sentence that says what to install."""
    torch.save({"model": WEIGHTS, "description": {**STATE, "plugin": plugin}}, tmp_path / "last.pt")
    with pytest.raises(RunError, match=r"the description in .*last.pt cannot be used"):
        load_network(tmp_path / "last.pt")
