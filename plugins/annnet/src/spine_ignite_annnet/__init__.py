"""The name ``annnet``: the asymmetric non-local network under the name that its authors' code gives it ("annn").

Lists of architectures have it beside ``ann`` as if it were another network; no paper and no code defines one.
"""

from __future__ import annotations

from dataclasses import replace

from spine_ignite.hookspecs import RegisterModel, hookimpl
from spine_ignite_ann import SPEC as ANN

SPEC = replace(ANN, name="annnet", summary="Another name of ann, for lists that have it twice; the same network")


@hookimpl
def register_models(register: RegisterModel) -> None:
    """Register ``annnet``."""
    register(SPEC)
