"""nnU-Net's own network, built from its plans, for :mod:`nnunet_plugin`."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from peers import site_packages
from torch import Tensor, nn

from spine_ignite.nn.instance_norm import replace_instance_norms
from spine_ignite.spec import Aux, ModelOutput


def _load(path: str) -> Any:
    """Import ``package.module.Name``; nnU-Net's packages come from the peers' environment, after the project's own."""
    if str(site_packages()) not in sys.path:
        sys.path.append(str(site_packages()))
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


class PlannedNetwork(nn.Module):
    """The network of nnU-Net's 2D plan, supervised as by its trainer: weight 1, 1/2, 1/4 ..., the coarsest left out.

    The instance normalisation is this program's, with the same weights and results, for ``channels_last``.
    """

    def __init__(self, in_channels: int, num_classes: int, plans: str) -> None:
        super().__init__()
        plan = json.loads(Path(plans).read_text())["configurations"]["2d"]["architecture"]
        arguments = dict(plan["arch_kwargs"])
        for name in plan["_kw_requires_import"]:
            if arguments[name] is not None:
                arguments[name] = _load(arguments[name])
        builder = _load(plan["network_class_name"])
        self.planned = builder(input_channels=in_channels, num_classes=num_classes, deep_supervision=True, **arguments)
        self.planned.apply(self.planned.initialize)
        replace_instance_norms(self.planned)

    def forward(self, image: Tensor) -> Tensor | ModelOutput:
        """Return logits ``(B, num_classes, H, W)``, and those of the coarser levels in training."""
        self.planned.decoder.deep_supervision = self.training
        found = self.planned(image)
        if not self.training:
            return found  # type: ignore[no-any-return]
        finest, *coarser = found[:-1]
        return ModelOutput(finest, {f"level{n}": Aux(logits, 0.5**n) for n, logits in enumerate(coarser, 1)})
