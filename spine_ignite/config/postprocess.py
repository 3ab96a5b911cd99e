"""Names of the steps of post-processing: those that are registered, the core's own first."""

from __future__ import annotations

from dataclasses import dataclass

from spine_ignite.errors import UsageError, suggest
from spine_ignite.registry import load_registry
from spine_ignite.spec import Component

LEVELS = "levels"  # the step that names the column; it is told the probabilities too
_KIND = "cleanup-step"
# Steps of earlier versions, which runs may name, and what does their work now.
_FORMER = {"sacrum": LEVELS, "discs": LEVELS}


@dataclass(frozen=True, slots=True)
class Step:
    """A step as it is written in a configuration: ``levels``, ``components:L5,L4``, or ``acme-tools:smooth``.

    Args:
        name: of its component, with the distribution if that was said.
        classes: names of the structures that it is restricted to; none: all.
        component: what is registered.
    """

    name: str
    classes: tuple[str, ...]
    component: Component


def steps() -> dict[str, Component]:
    """Return all steps by name, in the order in which they are taken."""
    return {item.value.name: item.value for item in load_registry().components(_KIND)}


def takes_classes(component: Component) -> bool:
    """Whether a step may be restricted to structures: it has an option ``classes``."""
    return component.options is not None and "classes" in component.options.model_fields


def parse_step(text: str) -> Step:
    """Read a step.

    Raises:
        UsageError: there is none of this name, two plugins claim it, or it takes no classes.
    """
    known = steps()
    text = text if text in known else _FORMER.get(text, text)
    name, colon, classes = text.partition(":")
    if name not in known and classes.partition(":")[0] in known:  # the first part is a distribution
        bare, colon, classes = classes.partition(":")
        name = f"{name}:{bare}"
    elif name not in known:
        raise UsageError(
            f"there is no post-processing step '{name}'.{suggest(name, known)} The steps are {', '.join(known)}"
        )
    component = load_registry().component(_KIND, name).value
    if colon and (not takes_classes(component) or not classes):
        takers = [name for name, step in known.items() if takes_classes(step)]
        raise UsageError(
            f"post-processing step '{text}' is not understood: {' and '.join(takers)} take classes, "
            "as in components:L5,L4"
        )
    return Step(name, tuple(classes.split(",")) if classes else (), component)


def check_step(step: str) -> str:
    """Return a step as given: a name of :func:`steps`, some with classes, as in ``components:L5,L4``.

    Raises:
        UsageError: it is none.
    """
    parsed = parse_step(step)
    return parsed.name if step in _FORMER else step
