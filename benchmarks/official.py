"""Networks against the official code, weights copied, encoder included: how far the two are apart.

One network a call; the code is read from a checkout of its repository, which is named when the folder does not exist.
Both get the same random weights in float64, the drop-out is off. Compared are the logits and auxiliary logits in eval
and train mode, the gradients of all parameters, and the norms' running statistics after a step, at two sizes and every
output stride that the official code has; the error is the largest difference over the largest value.

    git clone https://github.com/XiaLiPKU/EMANet /tmp/EMANet
    python benchmarks/official.py emanet --code /tmp/EMANet

``python -O`` leaves out assertions, among them those of semseg about the size.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import official_networks
import torch
import torch.nn.functional as F
from official_matching import Match, matches
from torch import Tensor, nn

from spine_ignite.nn.timm_import import import_timm
from spine_ignite.registry import load_registry
from spine_ignite.spec import ModelOutput

SIZES = ((65, 97), (64, 96))
MOMENTUM = 0.1


@dataclass(frozen=True)
class Pair:
    """The same network twice.

    Args:
        theirs: the official one.
        ours: this project's.
        outputs: what ``theirs`` computes from an image: logits, and in training all auxiliary ones in our order.
        scopes: beginnings of names, theirs and ours, of parts that are called in another order in the two; the first
            that fits holds.
        named: parts that are not called as modules in one of the two, by name: theirs, ours, and where ours is the
            concatenation of three the number of theirs in it.
        twice: endings of the names of our modules whose counterpart sees the same map twice in a step, which moves
            running statistics twice; ours get a momentum that does the same.
        sizes: of the images.
        align_corners: of the resizing of main logits that the two give in different sizes.
    """

    theirs: nn.Module
    ours: nn.Module
    outputs: Callable[[Any, Tensor], Sequence[Tensor]]
    scopes: Sequence[tuple[str, str]] = ()
    named: Sequence[tuple[str, str, int | None]] = ()
    twice: tuple[str, ...] = ()
    sizes: Sequence[tuple[int, int]] = SIZES
    align_corners: bool = True


def main() -> None:
    """Compare and print a line for each output stride and size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("network", choices=sorted(official_networks.NETWORKS))
    parser.add_argument("--code", type=Path, required=True, help="folder with a checkout of the official repository")
    arguments = parser.parse_args()
    network = official_networks.NETWORKS[arguments.network]
    if not arguments.code.is_dir():
        sys.exit(f"{arguments.code} is not there: git clone https://github.com/{network.repository} {arguments.code}")
    import_timm()
    sys.path.insert(0, str(arguments.code))
    torch.manual_seed(0)
    aux_align_corners = load_registry().find(arguments.network.split("-")[0]).value.aux_align_corners
    for stride in network.strides:
        with official_networks.without_weights():
            pair = Pair(**network.build(arguments.code, stride))
        for size in pair.sizes:
            found = compare(pair, size, aux_align_corners)
            errors = "  ".join(f"{name} {value:.1e}" for name, value in found.items())
            print(f"{arguments.network} stride {stride or '-'} {size[0]}x{size[1]}  {errors}", flush=True)


def compare(pair: Pair, size: tuple[int, int], aux_align_corners: bool) -> dict[str, float]:
    """Return the largest relative errors of a pair at one size of image.

    Args:
        pair: the networks.
        size: of the image.
        aux_align_corners: of the resizing of our auxiliary logits, where theirs have the image's size.
    """
    theirs, ours = pair.theirs.double(), pair.ours.double()
    image = torch.randn(2, 3, *size, dtype=torch.float64)
    found = start(pair, image)
    errors: dict[str, float] = {}
    with torch.no_grad():  # some of theirs give their auxiliary logits in eval mode too
        expected = pair.outputs(theirs.eval(), image)[0]
        errors["eval"] = error(*same_size(outputs(ours.eval(), image)[0], expected, pair.align_corners))
    trained = zip(outputs(ours.train(), image), pair.outputs(theirs.train(), image), strict=True)
    for number, maps in enumerate(trained):
        mine, expected = same_size(*maps, aux_align_corners if number else pair.align_corners)
        name = "aux" if number else "train"
        errors[name] = max(errors.get(name, 0.0), error(mine, expected))
        weights = torch.randn_like(mine)
        for one in (mine, expected):
            (one * weights).sum().backward(retain_graph=True)
    errors |= after_the_step(found)
    for net in (theirs, ours):
        net.zero_grad(set_to_none=True)
    return errors


def start(pair: Pair, image: Tensor) -> list[Match]:
    """Draw weights and running statistics, the same for both; return what belongs together."""
    draw(pair.theirs)
    prepare(pair.theirs, momentum=1.0)
    with torch.no_grad():  # running statistics that fit the weights, or the activations of a deep network explode
        pair.outputs(pair.theirs.train(), torch.randn_like(image))
    prepare(pair.theirs, momentum=MOMENTUM)
    prepare(pair.ours, momentum=MOMENTUM)
    for name, module in pair.ours.named_modules():
        if pair.twice and name.endswith(pair.twice):
            module.momentum = 1 - (1 - MOMENTUM) ** 2  # type: ignore[assignment]
    calls = (lambda: pair.outputs(pair.theirs.train(), image), lambda: outputs(pair.ours.train(), image))
    found = matches((pair.theirs, pair.ours), calls, pair.scopes, pair.named)
    with torch.no_grad():
        for match in found:
            match.copy()
    return found


def after_the_step(found: Sequence[Match]) -> dict[str, float]:
    """Return the largest errors of gradients and running statistics."""
    errors = {"gradient": 0.0, "statistics": 0.0}
    largest = max(float(m.theirs.grad.abs().max()) for m in found if m.theirs.grad is not None)
    for match in found:
        mine, expected = match.ours.grad, match.theirs.grad
        if (mine is None) != (expected is None):
            errors["gradient"] = math.inf
        elif mine is not None and expected is not None:
            # A gradient that is zero but for rounding is held against the largest one.
            errors["gradient"] = max(errors["gradient"], error(match.of(mine), expected, 1e-6 * largest))
        elif not isinstance(match.theirs, nn.Parameter) and match.theirs.ndim == 1:
            errors["statistics"] = max(errors["statistics"], error(match.ours, match.theirs))
    return errors


def error(ours: Tensor, theirs: Tensor, least: float = 1e-300) -> float:
    """Return the largest difference, relative to the largest value of ``theirs``."""
    largest = max(float(theirs.detach().abs().max()), least)
    found = float((ours.detach() - theirs.detach()).abs().max()) / largest
    return found if math.isfinite(found) else math.inf


def outputs(ours: nn.Module, image: Tensor) -> list[Tensor]:
    """Return logits and auxiliary logits of one of our networks."""
    output = ours(image)
    return (
        [output.logits, *(aux.logits for aux in output.aux.values())] if isinstance(output, ModelOutput) else [output]
    )


def same_size(first: Tensor, second: Tensor, align_corners: bool) -> tuple[Tensor, Tensor]:
    """Resize the smaller of two maps to the larger: some give logits as they are, others at the image's size."""
    size = max(first.shape[-2:], second.shape[-2:])

    def resized(x: Tensor) -> Tensor:
        same = x.shape[-2:] == size
        return x if same else F.interpolate(x, size, mode="bilinear", align_corners=align_corners)

    return resized(first), resized(second)


def draw(net: nn.Module) -> None:
    """Draw weights that keep the activations' size; scales of residual branches, which start at 0, become 0.7."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.numel() == 1 and name.endswith("gamma"):
                parameter.fill_(0.7)
            elif parameter.ndim > 1:
                parameter.normal_(0, (2 / parameter[0].numel()) ** 0.5)
            elif name.endswith("weight"):
                parameter.uniform_(0.5, 1.5)
            else:
                parameter.normal_(0, 0.1)


def prepare(net: nn.Module, momentum: float) -> None:
    """Switch drop-out off and give all norms one momentum."""
    for _, part in net.named_modules():
        if isinstance(part, (nn.Dropout, nn.Dropout2d)):
            part.p = 0.0
        for rate in ("drop_rate", "drop_prob"):
            if hasattr(part, rate):
                setattr(part, rate, 0.0)
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.momentum = momentum


if __name__ == "__main__":
    main()
