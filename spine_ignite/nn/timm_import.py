"""Import timm, also where torchvision came for another build of torch."""

from __future__ import annotations

import re
from types import ModuleType

import torch

from spine_ignite.errors import RunError

_MISSING_OPERATOR = re.compile(r"operator torchvision::(\w+) does not exist")
# Held for the life of the process: the operators vanish with the library that declares them.
_declared = torch.library.Library("torchvision", "FRAGMENT")


def import_timm() -> ModuleType:
    """Return the ``timm`` module.

    timm imports torchvision. The package index has one build of torchvision for each release, and its compiled
    operators do not load beside a torch built for the CPU alone; torchvision then stops at its first description of an
    operator that is not there. No encoder uses these operators, so they are declared, without an implementation, until
    the import succeeds.

    Raises:
        RunError: timm or torchvision is not installed, or cannot be imported for another reason.
    """
    for _ in range(20):
        try:
            import torchvision  # noqa: F401
        except RuntimeError as error:
            missing = _MISSING_OPERATOR.search(str(error))
            if missing is None:
                raise RunError(f"torchvision, which timm needs, cannot be imported: {error}") from error
            _declared.define(f"{missing.group(1)}() -> ()")
        except ImportError:
            break  # what timm says of it below is clearer
        else:
            break
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        raise RunError(f"encoders come from timm, which cannot be imported ({error}); pip install timm") from error
    module: ModuleType = timm
    return module
