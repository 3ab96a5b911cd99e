"""Every installed architecture as an ONNX file: what onnxruntime gives beside torch, at several sizes.

Each one is built with small options and random weights, captured as `spine-ignite export --format onnx` does it, and
run on batches of sizes that are multiples of nothing. Where height and width cannot be open they are fixed, and the
reason is shown.

    python benchmarks/onnx_models.py [NAME …] [--out FILE]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from spine_ignite.inference.export_onnx import to_onnx
from spine_ignite.models import create_model, list_models
from spine_ignite.registry import load_registry
from spine_ignite.runs.onnx_file import OnnxNetwork
from spine_ignite.testing import randomise

OPEN = ((2, 3, 103, 149), (1, 3, 64, 64), (1, 3, 71, 117), (3, 3, 130, 65), (1, 3, 192, 160))
FIXED = ((2, 3, 96, 128), (1, 3, 96, 128))
# Options that make an architecture small; others that have a ResNet for a backbone get the smallest.
SMALL: dict[str, dict[str, Any]] = {
    "denseaspp": {"backbone": "densenet121"},
    "espnet": {"q": 3},
    "fcn": {"backbone": "vgg11_bn", "padding": "same", "fc_channels": 64},
    "transunet": {"layers": 2, "width": 96, "heads": 4},
    "unet": {"width": 8},
}


def options_of(name: str) -> dict[str, Any]:
    """Return options that make it small."""
    fields = load_registry().find(name).value.options.model_fields
    if name in SMALL:
        return SMALL[name]
    backbone = fields.get("backbone")
    return {"backbone": "resnet18"} if backbone is not None and str(backbone.default).startswith("resnet") else {}


def measure(name: str, folder: Path) -> list[str]:
    """Return a row: what is open, the largest difference as a share of the largest logit, megabytes, seconds."""
    torch.manual_seed(0)
    # Weights as after training: those that start at zero would hide what is behind them.
    network = randomise(create_model(name, 3, 20, **options_of(name))).eval()
    path, reason = folder / f"{name}.onnx", ""
    start = time.perf_counter()
    for axes, sizes in (((0, 2, 3), OPEN), ((0,), FIXED)):
        try:
            with torch.no_grad():
                path.write_bytes(to_onnx(network, torch.randn(sizes[0]), axes).SerializeToString())
            shares = [difference(network, OnnxNetwork(path), torch.randn(size)) for size in sizes]
        except Exception as error:  # whatever stops an exporter is the row's content
            reason = reason or " ".join(f"{type(error).__name__}: {error}".split())[:160]
            continue
        seconds = time.perf_counter() - start
        what = "batch, height, width" if len(axes) > 1 else "batch"
        return [name, what, f"{max(shares):.1e}", f"{path.stat().st_size / 1e6:.1f}", f"{seconds:.0f}", reason]
    return [name, "cannot be captured", "-", "-", f"{time.perf_counter() - start:.0f}", reason]


@torch.inference_mode()
def difference(network: torch.nn.Module, other: OnnxNetwork, batch: torch.Tensor) -> float:
    """Return the largest difference of logits as a share of the largest."""
    expected = network(batch)
    return float((other(batch) - expected).abs().max() / expected.abs().max())


def main() -> None:
    """Print, and if wanted write, a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    names = given.names or [spec.name for spec in list_models()]
    columns = ["architecture", "open", "difference", "MB", "s", "why not all"]
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    with tempfile.TemporaryDirectory() as folder:
        for line in lines:
            print(line)
        for name in names:
            lines.append(f"| {' | '.join(measure(name, Path(folder)))} |")
            print(lines[-1], flush=True)
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
