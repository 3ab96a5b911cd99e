"""What a program that torch captured says beyond what it computes."""

from __future__ import annotations

import torch


def forget_sources(program: torch.export.ExportedProgram) -> None:
    """Remove from each operation which lines of which files it comes from: they lie in somebody's folders."""
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
