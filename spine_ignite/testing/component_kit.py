"""What holds for a component of any kind."""

from __future__ import annotations

import subprocess  # nosec B404 # a fresh process is asked what it has imported
import sys
from typing import Any, ClassVar

import pytest

from spine_ignite.errors import UsageError
from spine_ignite.registry import Chosen, Registered, load_registry
from spine_ignite.spec import Component

_LIST = """
import sys
from importlib.metadata import entry_points
from spine_ignite.registry import build_registry
groups = ("spine_ignite", "spine_ignite.commands")
found = build_registry(p for g in groups for p in entry_points(group=g) if p.dist.name == sys.argv[1])
assert not found.broken, found.broken
print(" ".join(sorted({"torch", "matplotlib", "SimpleITK", "scipy", "monai"} & set(sys.modules))))
"""


class ComponentConformance:
    """Base class of the kits for components.

    Attributes:
        kind: as ``list-components`` has it.
        name: the registered name.
        options: options with which it is tested.
    """

    kind: ClassVar[str]
    name: ClassVar[str]
    options: ClassVar[dict[str, Any]] = {}

    @property
    def registered(self) -> Registered[Component]:
        """What is registered under the name, and by which distribution."""
        return load_registry().component(self.kind, self.name)

    def choose(self, **options: Any) -> Chosen:
        """Return the component as a configuration would choose it, with the kit's options and these."""
        return load_registry().choose(self.kind, self.name, {**self.options, **options})

    def test_it_says_what_it_is_in_one_line(self) -> None:
        """The summary is one line of at most 120 characters."""
        summary = self.registered.value.summary
        assert summary.strip(), "the summary is empty"
        assert summary.isprintable(), "the summary has more than one line"
        assert len(summary) <= 120, f"the summary has {len(summary)} characters, more than 120"

    def test_its_options_are_described_and_no_others_taken(self) -> None:
        """Each option has a default and a description; one that there is not is refused."""
        options = self.registered.value.options
        for name, field in (options.model_fields if options is not None else {}).items():
            assert field.description, f"option '{name}' has no description"
            assert not field.is_required(), f"option '{name}' has no default"
        with pytest.raises(UsageError, match="no_such_option"):
            self.choose(no_such_option=1)

    def test_listing_it_imports_nothing_heavy(self) -> None:
        """``list-components`` loads the plugin's module; torch and the like are imported when they are used."""
        command = [sys.executable, "-c", _LIST, self.registered.distribution.name]
        found = subprocess.run(command, capture_output=True, text=True, check=False)  # nosec B603 # our own text
        assert found.returncode == 0, found.stderr
        assert not found.stdout.strip(), f"the plugin's module imports {found.stdout.strip()}; import it where used"
