"""Stands in for torchvision in the peers' environment where the project's torchvision came for another build of torch.

:mod:`peers` copies this to ``torchvision/__init__.py`` there if torchvision cannot be imported. nnU-Net imports it, by
way of timm, whenever it looks for a trainer, and uses none of its compiled operators: they are declared, without an
implementation, until the import of the real package succeeds (as in ``spine_ignite.nn.timm_import``).
"""

import importlib.util
import re
import sys
from pathlib import Path

import torch

_declared = torch.library.Library("torchvision", "FRAGMENT")
_folder = next(
    folder
    for folder in (Path(entry) / "torchvision" for entry in sys.path)
    if (folder / "__init__.py").is_file() and folder.resolve() != Path(__file__).resolve().parent
)
_spec = importlib.util.spec_from_file_location(
    "torchvision", _folder / "__init__.py", submodule_search_locations=[str(_folder)]
)
for _ in range(20):
    _module = importlib.util.module_from_spec(_spec)
    sys.modules["torchvision"] = _module
    try:
        _spec.loader.exec_module(_module)
        break
    except RuntimeError as error:
        missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
        if missing is None:
            raise
        _declared.define(f"{missing.group(1)}() -> ()")
