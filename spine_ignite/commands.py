"""The core's own commands, each with the line that ``--help`` shows: a leaf, so that showing them loads nothing."""

from __future__ import annotations

# The group of entry points of plugins that bring commands: all others need not be loaded to show them.
COMMAND_ENTRY_POINTS = "spine_ignite.commands"

# In the order in which they are used; the module is spine_ignite.cli.<name with underscores>.
COMMANDS = {
    "list-models": "List every installed architecture, and the plugins that failed to load.",
    "list-components": "List losses, optimizers, metrics, formats and all else that a configuration can name.",
    "show-model": "Show an architecture's paper, options and size.",
    "profile": "Measure what architectures cost: parameters, FLOPs, latency, memory.",
    "phantom": "Write a synthetic lumbar MRI dataset with all 20 labels.",
    "convert": "Write a dataset anew in another layout: nnU-Net, MRSpineSeg, BIDS, MONAI.",
    "check": "Report every problem of a dataset at once.",
    "preprocess": "Turn volumes into the slice store that training reads.",
    "find-lr": "Suggest a learning rate by a range test, with a plot.",
    "train": "Train a network, or resume a run.",
    "cross-validate": "Train all folds; judge, and find suspect masks, on cases that a network has not seen.",
    "study": "Train many models, folds, seeds and settings as one plan, here or on a cluster; one table.",
    "evaluate": "Judge a run, or any tool's predictions, in 3D per case and class.",
    "compare": "Compare evaluated runs: the paper's table, tests of all pairs, figures.",
    "report": "Write a run as one HTML page with pictures, curves and a viewer.",
    "review": "Write a cohort without references as one HTML sheet to accept, reject and correct.",
    "postprocess": "Find the anatomical clean-up that helps a run on its validation cases.",
    "predict": "Segment volumes; label volumes come out on the input's own grid.",
    "levels": "Name the levels of label volumes of any tool, say how surely, or repair them by a click.",
    "measure": "Measure label volumes: heights, wedges, slips, angles, canal, volumes of each level.",
    "verify": "Hold a run against its manifest; compute its tables, predictions and weights again.",
    "export": "Write a run's network to a file for other programs, verified.",
    "new-plugin": "Write a new plugin that installs and passes its tests as it is.",
    "pack": "Pack the logs of runs into a .zip or .tar.gz.",
}
