"""spine-ignite: train, evaluate and compare segmentation networks on spine MRI.

The public names are imported when first used, so that ``import spine_ignite`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from spine_ignite.version import __version__

_PUBLIC = {
    "hookimpl": "spine_ignite.hookspecs",
    "list_models": "spine_ignite.models",
    "create_model": "spine_ignite.models",
    "train": "spine_ignite.tuning.start",
    "InferenceOptions": "spine_ignite.inference.options",
    "predict": "spine_ignite.inference.predict_files",
    "evaluate": "spine_ignite.evaluation.judge",
}

__all__ = [
    "InferenceOptions",
    "__version__",
    "create_model",
    "evaluate",
    "hookimpl",
    "list_models",
    "predict",
    "train",
]

if TYPE_CHECKING:
    from spine_ignite.evaluation.judge import evaluate
    from spine_ignite.hookspecs import hookimpl
    from spine_ignite.inference.options import InferenceOptions
    from spine_ignite.inference.predict_files import predict
    from spine_ignite.models import create_model, list_models
    from spine_ignite.tuning.start import train


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
