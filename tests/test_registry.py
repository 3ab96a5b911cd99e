from __future__ import annotations

import importlib
import json
import re
import sys
import types
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field

from spine_ignite import hookspecs
from spine_ignite.errors import RunError, UsageError
from spine_ignite.hookspecs import hookimpl
from spine_ignite.models import create_model
from spine_ignite.registry import KINDS, Distribution, Registry, build_registry, load_registry
from spine_ignite.registry.origins import remembering
from spine_ignite.spec import Component, ModelOptions, ModelSpec, Paper
from spine_ignite.spec import Options as OptionsOf

PAPER = Paper("Title", "A. Author", "Venue", 2020, "https://example.org", "author2020")


class Options(ModelOptions):
    recurrence: int = Field(2, ge=1, le=4, description="rounds")


class FakeDistribution:
    def __init__(self, name: str, version: str) -> None:
        self.name = name
        self.version = version


Install = Callable[..., EntryPoint]


@pytest.fixture
def install() -> Iterator[Install]:
    """``install("dist", "entry", register_models=...)`` makes a module with these hooks and an entry point to it."""
    made: list[str] = []

    def make(distribution: str, entry: str, **attributes: Any) -> EntryPoint:
        name = f"fake_plugin_{len(made)}"
        module = types.ModuleType(name)
        for key, value in attributes.items():
            setattr(module, key, value)
        sys.modules[name] = module
        made.append(name)
        point = EntryPoint(entry, name, "spine_ignite")
        return point._for(FakeDistribution(distribution, "1.0"))  # type: ignore[attr-defined, no-any-return]

    yield make
    for name in made:
        del sys.modules[name]


def models(*names: str, aliases: tuple[str, ...] = (), target: str = "nowhere:Net") -> Callable[..., None]:
    @hookimpl
    def register_models(register: Callable[[ModelSpec], None]) -> None:
        for name in names:
            register(ModelSpec(name, target, "summary", PAPER, Options, aliases))

    return register_models


def names(registry: Registry) -> list[str]:
    return [item.value.name for item in registry.models()]


def test_models_are_found_by_name_and_alias(install: Install) -> None:
    registry = build_registry([install("dist-a", "a", register_models=models("net", aliases=("alias",)))])
    assert names(registry) == ["net"]
    assert registry.find("alias").value.name == "net"
    assert str(registry.find("net").distribution) == "dist-a 1.0"


def test_a_plugin_that_fails_to_import_breaks_nothing_else(install: Install) -> None:
    missing = EntryPoint("bad", "no_such_module_anywhere", "spine_ignite")._for(FakeDistribution("dist-bad", "2.0"))  # type: ignore[attr-defined]
    registry = build_registry([missing, install("dist-a", "a", register_models=models("net"))])
    assert names(registry) == ["net"]
    (broken,) = registry.broken
    assert str(broken.distribution) == "dist-bad 2.0"
    assert "ModuleNotFoundError" in broken.error
    with pytest.raises(UsageError, match="plugin dist-bad 2.0 failed to load: ModuleNotFoundError"):
        registry.find("bad")
    with pytest.raises(
        UsageError, match=r"no loss 'edgy'.*may be of what failed to load .list-components.: dist-bad 2"
    ):
        registry.component("loss", "edgy")


def test_a_plugin_whose_hook_raises_registers_nothing(install: Install) -> None:
    @hookimpl
    def register_models(register: Callable[[ModelSpec], None]) -> None:
        register(ModelSpec("half", "nowhere:Net", "summary", PAPER))
        raise RuntimeError("no")

    registry = build_registry([install("dist-a", "a", register_models=register_models)])
    assert names(registry) == []
    assert registry.broken[0].error == "RuntimeError: no"


def test_a_misspelt_hook_is_reported(install: Install) -> None:
    registry = build_registry([install("dist-a", "a", register_model=models("net"))])
    assert "register_model" in registry.broken[0].error


def test_what_is_not_a_spec_is_reported(install: Install) -> None:
    @hookimpl
    def register_models(register: Callable[[Any], None]) -> None:
        register("net")

    registry = build_registry([install("dist-a", "a", register_models=register_models)])
    assert registry.broken[0].error == "TypeError: register_models must be given a ModelSpec, got str"


def test_a_clash_names_both_distributions_and_a_prefix_chooses(install: Install) -> None:
    points = [
        install("dist-a", "net", register_models=models("net")),
        install("dist-b", "net", register_models=models("net")),
    ]
    registry = build_registry(points)
    assert registry.clashes == ["model 'net' is registered by dist-a 1.0 and dist-b 1.0"]
    with pytest.raises(UsageError, match="registered by both dist-a 1.0 and dist-b 1.0; uninstall one, or choose"):
        registry.find("net")
    assert registry.find("dist-b:net").distribution.name == "dist-b"


def test_an_alias_can_clash_with_a_name(install: Install) -> None:
    points = [
        install("dist-a", "a", register_models=models("net")),
        install("dist-b", "b", register_models=models("other", aliases=("net",))),
    ]
    registry = build_registry(points)
    with pytest.raises(UsageError, match="registered by both"):
        registry.find("net")
    assert registry.find("other").value.name == "other"


def test_an_unknown_name_is_answered_with_the_closest(install: Install) -> None:
    registry = build_registry([install("dist-a", "a", register_models=models("ccnet"))])
    with pytest.raises(UsageError, match=r"no model 'cnet'. Did you mean 'ccnet'\? Installed: ccnet"):
        registry.find("cnet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recurence": 2}, "options of model 'net': unknown key 'recurence'. Did you mean 'recurrence'?"),
        ({"recurrence": 9}, "recurrence: input should be less than or equal to 4 (got 9)"),
    ],
)
def test_options_are_validated(install: Install, options: dict[str, Any], message: str) -> None:
    registry = build_registry([install("dist-a", "a", register_models=models("net"))])
    assert registry.resolve_options("net", {"recurrence": 3}) == Options(recurrence=3)
    with pytest.raises(UsageError) as caught:
        registry.resolve_options("net", options)
    assert message in str(caught.value)


def registering(hook: str, *items: Any) -> dict[str, Any]:
    def implementation(register: Callable[[Any], None]) -> None:
        for item in items:
            register(item)

    return {hook: hookimpl(implementation)}


def test_components_come_through_the_same_hooks(install: Install) -> None:
    registry = build_registry(
        [install("dist-a", "a", **registering("register_losses", Component("mine", "json:dumps", "a loss")))]
    )
    assert {"mine", "dice_ce", "hausdorff_dt"} <= {item.value.name for item in registry.components("loss")}
    assert registry.choose("loss", "mine").target is json.dumps
    with pytest.raises(UsageError, match=r"no loss 'dice-ce'. Did you mean 'dice_ce'\?"):
        registry.choose("loss", "dice-ce")


class Smoothing(OptionsOf):
    steps: int = Field(2, ge=1, description="rounds")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step": 1}, "options of loss 'mine': unknown key 'step'. Did you mean 'steps'? Known here: steps"),
        ({"steps": 0}, "options of loss 'mine': steps: input should be greater than or equal to 1 (got 0)"),
    ],
)
def test_a_component_s_options_are_its_own(install: Install, options: dict[str, int], message: str) -> None:
    component = Component("mine", "builtins:dict", "a loss", Smoothing)
    registry = build_registry([install("dist-a", "a", **registering("register_losses", component))])
    assert registry.choose("loss", "mine", {"steps": 3})(num_classes=2) == {"num_classes": 2, "steps": 3}
    assert registry.choose("loss", "mine")() == {"steps": 2}
    with pytest.raises(UsageError) as caught:
        registry.choose("loss", "mine", options)
    assert str(caught.value) == message


def test_a_component_that_raises_is_told_with_its_distribution(install: Install) -> None:
    component = Component("mine", "json:loads", "a loss")
    registry = build_registry([install("dist-a", "a", **registering("register_losses", component))])
    with pytest.raises(RunError, match="loss 'mine' of dist-a 1.0 failed: JSONDecodeError: Expecting value"):
        registry.choose("loss", "mine")("nonsense")


@pytest.mark.parametrize(
    ("hook", "item", "error"),
    [
        ("register_losses", "mine", "TypeError: register_losses must be given a Component, got str"),
        ("register_models", Component("mine", "a:b", ""), "register_models must be given a ModelSpec, got Component"),
        ("register_losses", Component("mine", "a:b", "", suffixes=(".x",)), "loss 'mine' has no suffixes"),
        ("register_losses", Component("mine", "/a/b.yaml", ""), "must be 'package.module:Name', got '/a/b.yaml'"),
        ("register_label_schemes", Component("mine", "a:b", ""), "label scheme 'mine' must be a YAML file"),
    ],
)
def test_what_does_not_belong_to_a_kind_is_reported(install: Install, hook: str, item: Any, error: str) -> None:
    registry = build_registry([install("dist-a", "a", **registering(hook, item))])
    assert error in registry.broken[0].error
    assert "mine" not in {i.value.name for i in registry.components("loss")}


def test_a_name_that_a_plugin_registers_twice_is_reported(install: Install) -> None:
    twice = [Component("mine", "a:b", ""), Component("mine", "a:c", "")]
    registry = build_registry([install("dist-a", "a", **registering("register_losses", *twice))])
    assert registry.broken[0].error == "ValueError: loss 'mine' is registered twice"


FOR_ANOTHER = "made for version 2 of the plugin contract, and this spine-ignite has version 1"


def test_a_plugin_for_another_contract_is_listed_as_broken_and_registers_nothing(install: Install) -> None:
    """Whatever says so: a model, a component, or the module, whose hooks may be unknown."""

    @hookimpl
    def one_more_model(register: Callable[[ModelSpec], None]) -> None:
        register(ModelSpec("one", "nowhere:Net", "", PAPER))
        register(ModelSpec("two", "nowhere:Net", "", PAPER, contract=2))

    @hookimpl
    def one_more_loss(register: Callable[[Component], None]) -> None:
        register(Component("one", "a:b", ""))
        register(Component("two", "a:b", "", contract=2))

    plugins = [
        {"register_models": one_more_model},
        {"register_models": models("three"), "register_losses": one_more_loss},
        {"CONTRACT": 2, "register_models": models("four"), **registering("register_dreams")},
    ]
    points = [install(f"dist-{number}", "net", **hooks) for number, hooks in enumerate(plugins)]
    registry = build_registry(points)
    assert [FOR_ANOTHER in broken.error for broken in registry.broken] == [True, True, True]
    assert names(registry) == []
    assert "one" not in {item.value.name for item in registry.components("loss")}
    with pytest.raises(UsageError, match=f"model 'net' cannot be used: its plugin dist-0 1.0 .*{FOR_ANOTHER}"):
        registry.find("net")


def test_the_installed_registry_is_sound() -> None:
    registry = load_registry()
    assert registry.broken == []
    assert registry.clashes == []
    assert "unet" in names(registry)


def test_the_first_party_networks_are_26_under_27_names() -> None:
    ours = [item.value for item in load_registry().models() if item.distribution.name.startswith("spine-ignite-")]
    folders = {path.parent.name for path in (Path(__file__).parents[1] / "plugins").glob("*/pyproject.toml")}
    assert {spec.name for spec in ours} == folders - {"ready"}, "which is a trained network, no architecture"
    assert (len(ours), sum(1 + len(spec.aliases) for spec in ours)) == (26, 27)


def test_a_target_that_does_not_exist_is_told_with_its_distribution(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = build_registry([install("dist-a", "a", register_models=models("net"))])
    monkeypatch.setattr("spine_ignite.models.load_registry", lambda: registry)
    with pytest.raises(RunError, match="model 'net' of dist-a 1.0 cannot be imported from 'nowhere:Net'"):
        create_model("net", 1, 2)


@pytest.mark.parametrize(("channels", "classes"), [(0, 2), (1, 1)])
def test_a_network_needs_channels_and_classes(channels: int, classes: int) -> None:
    with pytest.raises(UsageError, match="at least 1 input channel and 2 classes"):
        create_model("unet", channels, classes)


def test_the_core_s_names_stay_the_core_s(install: Install) -> None:
    """A stranger's claim to one is told, and changes nothing that names it."""
    component = Component("dice", "json:dumps", "a loss")
    registry = build_registry([install("dist-a", "a", **registering("register_losses", component))])
    assert registry.component("loss", "dice").distribution.name == "spine-ignite"
    assert registry.component("loss", "dist-a:dice").value is component
    (clash,) = registry.clashes
    assert clash == "loss 'dice' is registered by spine-ignite 0.1.0 and dist-a 1.0, and is that of spine-ignite"


def test_a_remembered_name_is_resolved_by_its_distribution(install: Install) -> None:
    points = [
        install("dist-a", "net", register_models=models("net", "other")),
        install("dist-b", "net", register_models=models("net")),
        install("dist-c", "broken", register_models=models("net"), register_dream=models()),
    ]
    registry = build_registry(points)
    origins = {
        "model net": Distribution("dist-b", "0.9"),
        "model other": Distribution("dist-b", "0.9"),
        "model dist-a:net": Distribution("dist-a", "0.8"),
        "model dist-d:net": Distribution("dist-d", "3.0"),
        "loss edgy": Distribution("dist-c", "1.0"),
    }
    with remembering(origins):
        assert registry.find("net").distribution == Distribution("dist-b", "1.0")
        assert registry.find("dist-a:net").distribution.name == "dist-a"
        with pytest.raises(RunError, match=r"model 'dist-d:net' was that of dist-d 3.0, which is not installed"):
            registry.find("dist-d:net")
        with pytest.raises(RunError) as caught:
            registry.find("other")
        assert str(caught.value) == (
            "model 'other' was that of dist-b 0.9, which is not installed, or has it no more; "
            "install that version again"
        )
        with pytest.raises(RunError, match=r"loss 'edgy' was that of dist-c 1.0, which cannot be used: .*register_dre"):
            registry.component("loss", "edgy")
    with pytest.raises(UsageError, match="registered by both"):
        registry.find("net")


def test_every_kind_has_a_hook_with_an_example_and_a_line_in_the_documentation() -> None:
    page = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
    for kind, about in KINDS.items():
        said = getattr(hookspecs, about.hook).__doc__
        assert "Example::" in said, kind
        assert f"def {about.hook}(register):" in said, kind
        assert f"`{about.hook}`" in page or about.hook == "register_models", kind


def test_the_plugin_of_the_documentation_gives_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
    code = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    package = tmp_path / "spine_ignite_mynet"
    package.mkdir()
    for name in ("__init__.py", "model.py"):
        (found,) = (block for block in code if block.startswith(f"# {name}:"))
        (package / name).write_text(found, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    registered: list[ModelSpec] = []
    try:
        importlib.import_module("spine_ignite_mynet").register_models(registered.append)
        (spec,) = registered
        module, name = spec.target.split(":")
        build = getattr(importlib.import_module(module), name)
        network = build(in_channels=2, num_classes=5, **spec.options().model_dump())
        assert network(torch.zeros(1, 2, 64, 70)).shape == (1, 5, 64, 70)
    finally:
        for name in ("spine_ignite_mynet", "spine_ignite_mynet.model"):
            sys.modules.pop(name, None)


def test_the_building_blocks_of_the_documentation_are_where_it_says() -> None:
    page = (Path(__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
    table = page.split("## Building blocks")[1].split("## Components")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines() if row.startswith("| `")]
    assert len(rows) >= 7
    for names, contents in rows:
        modules = [importlib.import_module(f"spine_ignite.nn.{name}") for name in re.findall(r"`(\w+)`", names)]
        for name in re.findall(r"`(\w+)`", contents):
            assert any(hasattr(module, name) for module in modules), (names, name)
