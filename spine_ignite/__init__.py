"""spine-ignite: train, evaluate and compare segmentation networks on spine MRI.

    import spine_ignite as si

    result = si.train({"data.root": "dataset", "model.name": "unet", "train.epochs": 50}, out="runs/unet")
    result.history                                        # a row for each epoch; result.plot() draws them
    result = si.resume("runs/unet", "train.epochs=100")   # from its last checkpoint
    si.cross_validate("config.yaml", out="folds").suspects      # all folds; which masks are to be looked at
    labels = si.predict("runs/unet", nib.load("scan.nii.gz"))   # an image of the same kind, in memory
    si.predict("ready", "scan.nii.gz")                    # with a network that a plugin brings; si.load("ready") is it
    si.evaluate("runs/unet").means["dice"]                # on its test cases
    si.evaluate(labels, nib.load("mask.nii.gz")).classes  # or any label volume against its reference
    dataset = si.open_dataset("dataset", "slices")        # for torch's DataLoader

``help(si.train)`` and so on say what each takes. Whatever a user can mend raises a ``SpineIgniteError`` that says so in
a sentence. The names are imported when first used, so that ``import spine_ignite`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from spine_ignite.version import __version__

_PUBLIC = {
    "CrossValidation": "spine_ignite.crossval.cross_validate",
    "Extras": "spine_ignite.inference.predict_files",
    "InferenceOptions": "spine_ignite.inference.options",
    "RunConfig": "spine_ignite.config",
    "RunResult": "spine_ignite.training.run",
    "Sample": "spine_ignite.batches.open_dataset",
    "SpineIgniteError": "spine_ignite.errors",
    "create_model": "spine_ignite.models",
    "cross_validate": "spine_ignite.api.training_runs",
    "evaluate": "spine_ignite.api.images",
    "find_learning_rate": "spine_ignite.api.training_runs",
    "hookimpl": "spine_ignite.hookspecs",
    "list_models": "spine_ignite.models",
    "load": "spine_ignite.api.networks",
    "load_config": "spine_ignite.config",
    "open_dataset": "spine_ignite.batches.open_dataset",
    "predict": "spine_ignite.api.images",
    "resume": "spine_ignite.api.training_runs",
    "train": "spine_ignite.api.training_runs",
    "write_phantoms": "spine_ignite.phantom",
}

__all__ = [
    "CrossValidation",
    "Extras",
    "InferenceOptions",
    "RunConfig",
    "RunResult",
    "Sample",
    "SpineIgniteError",
    "__version__",
    "create_model",
    "cross_validate",
    "evaluate",
    "find_learning_rate",
    "hookimpl",
    "list_models",
    "load",
    "load_config",
    "open_dataset",
    "predict",
    "resume",
    "train",
    "write_phantoms",
]

if TYPE_CHECKING:
    from spine_ignite.api.images import evaluate, predict
    from spine_ignite.api.networks import load
    from spine_ignite.api.training_runs import cross_validate, find_learning_rate, resume, train
    from spine_ignite.batches.open_dataset import Sample, open_dataset
    from spine_ignite.config import RunConfig, load_config
    from spine_ignite.crossval.cross_validate import CrossValidation
    from spine_ignite.errors import SpineIgniteError
    from spine_ignite.hookspecs import hookimpl
    from spine_ignite.inference.options import InferenceOptions
    from spine_ignite.inference.predict_files import Extras
    from spine_ignite.models import create_model, list_models
    from spine_ignite.phantom import write_phantoms
    from spine_ignite.training.run import RunResult


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        found = globals()[name] = getattr(importlib.import_module(_PUBLIC[name]), name)
        return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
