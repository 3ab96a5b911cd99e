"""The rooms of the core, where the import linter cannot see: targets in strings, names of files, what a room says."""

from __future__ import annotations

import ast
import importlib
import re
from collections import defaultdict
from pathlib import Path

import pytest

import spine_ignite
from spine_ignite.registry import KINDS, build_registry

ROOT = Path(__file__).parents[1]
CORE = ROOT / "spine_ignite"
MODULES = sorted(CORE.rglob("*.py"))
TARGET = re.compile(r"spine_ignite(?:\.\w+)+:")


def room_of(path: Path) -> str:
    return path.relative_to(CORE).parts[0].removesuffix(".py")


def strings(path: Path) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


# Where the components of a kind live.
ROOMS = {
    "loss": "losses",
    "reader": "volumes",
    "layout": "datasets",
    "cleanup-step": "inference",
    "command": "cli",
    "optimizer": "training",
    "schedule": "training",
    "metric": "training",
    "tracker": "training",
    "label-scheme": "schemes",
}


def test_what_is_named_by_strings_is_there_and_in_its_room() -> None:
    registry = build_registry([])
    found = {kind: [item.value for item in registry.components(kind)] for kind in KINDS}
    assert {kind for kind, components in found.items() if components} == ROOMS.keys()
    for kind, components in found.items():
        for component in components:
            module, _, name = component.target.rpartition(":")
            if module:
                assert callable(getattr(importlib.import_module(module), name)), component
                assert module.split(".")[:2] == ["spine_ignite", ROOMS[kind]], component
            else:
                assert Path(component.target).parent == CORE / ROOMS[kind]
                assert Path(component.target).is_file()
    for name in spine_ignite.__all__:
        assert getattr(spine_ignite, name) is not None


def test_only_the_core_s_own_plugin_names_targets() -> None:
    """A name in a string is an import that the linter cannot see."""
    found = {path.stem for path in MODULES for text in strings(path) if TARGET.search(text)}
    assert found <= {"core_plugin"}


def test_no_two_files_of_one_name_are_different_things() -> None:
    named = defaultdict(list)  # a command is called as what it runs
    for path in MODULES:
        if path.stem != "__init__" and room_of(path) != "cli":
            named[path.stem].append(str(path.relative_to(CORE)))
    assert {name: paths for name, paths in named.items() if len(paths) > 1} == {}


@pytest.mark.parametrize("room", sorted(path.parent.name for path in CORE.glob("*/__init__.py")))
def test_each_room_says_what_it_is_for(room: str) -> None:
    text = ast.get_docstring(ast.parse((CORE / room / "__init__.py").read_text(encoding="utf-8")))
    assert text is not None
    assert len(text.split()) > 10
