"""Names of the steps of post-processing."""

from __future__ import annotations

from spine_ignite.errors import UsageError, suggest

# In the order in which they are taken.
STEPS = {
    "levels": "one level for each vertebra, in the order of the column",
    "sacrum": "the vertebra on the sacrum is the scheme's first: a column that is named one level off is moved back",
    "discs": "a disc has the name that its place between the vertebrae gives it",
    "components": "of each structure the largest connected component",
    "holes": "no holes in a structure's slices",
}
OF_CLASSES = ("components", "holes")


def check_step(step: str) -> str:
    """Return a step as given: a name of :data:`STEPS`, some with classes, as in ``components:L5,L4``.

    Raises:
        UsageError: it is none.
    """
    name, colon, classes = step.partition(":")
    if name not in STEPS:
        known = ", ".join(STEPS)
        raise UsageError(f"there is no post-processing step '{name}'.{suggest(name, STEPS)} The steps are {known}")
    if colon and (name not in OF_CLASSES or not classes):
        raise UsageError(
            f"post-processing step '{step}' is not understood: {' and '.join(OF_CLASSES)} take classes, "
            "as in components:L5,L4"
        )
    return step
