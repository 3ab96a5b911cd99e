"""A component as a configuration chose it: imported, its options checked, ready to be called."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from spine_ignite.errors import RunError, SpineIgniteError, UsageError, suggest
from spine_ignite.names import cut
from spine_ignite.registry.claims import Distribution, Registered
from spine_ignite.spec import Component


@dataclass(frozen=True, slots=True)
class Chosen:
    """A component with its options; calling it calls its target with them.

    Args:
        words: what its kind is called in a sentence.
        component: what was registered.
        distribution: by whom.
        target: the imported target.
        options: checked; the target gets them as keyword arguments.
    """

    words: str
    component: Component
    distribution: Distribution
    target: Callable[..., Any]
    options: dict[str, Any]

    def __call__(self, *args: Any, **given: Any) -> Any:
        """Call the target.

        Raises:
            RunError: it raises anything that is not meant for the user; the message names its distribution.
        """
        try:
            return self.target(*args, **given, **self.options)
        except (SpineIgniteError, MemoryError):
            raise
        except Exception as error:
            reason = cut(" ".join(f"{type(error).__name__}: {error}".split()), 300)
            raise RunError(f"{self} failed: {reason}; update it, or leave it out") from error

    def __str__(self) -> str:
        return f"{self.words} '{self.component.name}' of {self.distribution}"


def choose(words: str, item: Registered[Component], options: Mapping[str, Any]) -> Chosen:
    """Import a component's target and check its options.

    Raises:
        UsageError: an option is unknown or cannot be.
        RunError: the target cannot be imported.
    """
    component = item.value
    target = import_target(component.target, f"{words} '{component.name}'", item.distribution)
    checked = dict(options)
    try:
        if component.options is not None:
            checked = component.options.model_validate(checked).model_dump()
        elif (known := keywords(target)) is not None:
            require_known(checked, known)
    except ValidationError as error:
        from spine_ignite.validation_errors import describe

        assert component.options is not None
        raise UsageError(f"options of {words} '{component.name}': {describe(error, component.options)}") from error
    except ValueError as error:
        raise UsageError(f"options of {words} '{component.name}': {error}") from error
    return Chosen(words, component, item.distribution, target, checked)


def keywords(target: Callable[..., Any]) -> list[str] | None:
    """Return the names of a target's options, its arguments with a default; None if it takes any, or hides them."""
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters if p.default is not p.empty]


def require_known(options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Refuse options that there are not.

    Raises:
        ValueError: there is one; the message names the closest known one.
    """
    names = sorted(known)
    for option in options:
        if option not in names:
            raise ValueError(
                f"there is no option '{option}'.{suggest(option, names)} Options: {', '.join(names) or 'none'}"
            )


def import_target(target: str, what: str, distribution: Distribution) -> Callable[..., Any]:
    """Import ``"package.module:name"``.

    Raises:
        RunError: that fails; the message names ``what`` and the distribution.
    """
    module, _, name = target.partition(":")
    try:
        found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise RunError(f"{what} of {distribution} cannot be imported from '{target}': {error}; reinstall it") from error
    return found
