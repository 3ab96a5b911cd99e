"""nnU-Net's trainer, cut short and with a clock; nnU-Net finds it through ``nnUNet_extTrainer``."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class TimedTrainer(nnUNetTrainer):
    """One short epoch; the end of each iteration is written to ``BENCHMARK_STAMPS``."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int,
        dataset_json: dict[str, Any],
        device: torch.device,
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)  # which looks at these names
        self.num_epochs = 1
        self.num_iterations_per_epoch = int(os.environ["BENCHMARK_STEPS"])
        self.num_val_iterations_per_epoch = 1

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Do what nnU-Net does, then look at the clock."""
        result: dict[str, Any] = super().train_step(batch)
        with Path(os.environ["BENCHMARK_STAMPS"]).open("a") as file:
            file.write(json.dumps({"kind": "step", "at": time.monotonic()}) + "\n")
        return result

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Leave out the prediction of whole cases after the training."""
