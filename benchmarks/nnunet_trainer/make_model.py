"""Write a model that ``nnUNetv2_predict`` loads, with weights from a checkpoint of ``spine-ignite train``.

Run by ``benchmarks/nnunet_prediction.py`` with the peers' Python: make_model.py PREPROCESSED CHECKPOINT
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch


def main() -> None:
    """Build nnU-Net's trainer, give its network the weights, let it save them."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    folder, checkpoint = map(Path, sys.argv[1:])
    plans = json.loads((folder / "nnUNetPlans.json").read_text()) | {"continue_training": False}
    dataset = json.loads((folder / "dataset.json").read_text())
    trainer = nnUNetTrainer(plans, "2d", 0, dataset, torch.device("cpu"))
    trainer.initialize()
    trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()  # which mirrors prediction uses
    weights = torch.load(checkpoint, weights_only=True)["model"]
    trainer.network.load_state_dict({name.removeprefix("planned."): value for name, value in weights.items()})
    trainer.save_checkpoint(str(Path(trainer.output_folder) / "checkpoint_final.pth"))
    for name, content in (("plans.json", trainer.plans_manager.plans), ("dataset.json", dataset)):
        (Path(trainer.output_folder_base) / name).write_text(json.dumps(content))
    shutil.copy(folder / "dataset_fingerprint.json", trainer.output_folder_base)


if __name__ == "__main__":
    main()
