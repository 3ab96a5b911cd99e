"""Weights from network to network, held against what every architecture must then compute."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from spine_ignite.labels import LabelScheme
from spine_ignite.models import create_model, list_models
from spine_ignite.runs.axes import axes_of, head_of
from spine_ignite.runs.description import Description
from spine_ignite.runs.transfer import Transfer, transfer
from spine_ignite.runs.weights import build_unfilled
from spine_ignite.testing import randomise

# Options that make an architecture small.
SMALL: dict[str, dict[str, Any]] = {
    **{
        name: {"backbone": "resnet10t", "channels": 16}
        for name in ("ann", "caranet", "ccnet", "danet", "deeplabv3", "deeplabv3plus", "gff", "infnet", "ocnet")
    },
    **{name: {"backbone": "resnet10t", "channels": 16} for name in ("pranet", "pspnet")},
    "bisenetv2": {"head_channels": 16},
    "denseaspp": {"backbone": "densenet121", "rates": [3]},
    "emanet": {"backbone": "resnet10t", "channels": 16, "bases": 8},
    "fcn": {"backbone": "vgg11", "padding": "same", "fc_channels": 16, "learn_upsampling": True},
    "gcn": {"backbone": "mobilenetv3_small_050", "kernel": 7},
    "psanet": {"backbone": "resnet10t", "channels": 16, "crop": 129},
    "resunet": {"width": 8},
    "resunetpp": {"width": 8},
    "segformer": {"decoder_width": 16},
    "segnet": {"backbone": "vgg11_bn"},
    "transunet": {"layers": 1, "width": 48, "heads": 3},
    "unet": {"width": 4, "stem_stride": 2, "deep_supervision": True},
    "unetpp": {"width": 4},
}
MODELS = [spec.name for spec in list_models()]
# An architecture that concatenates maps of classes with features: which of its weights belong to a class is not seen.
MIXING = {"espnet"}
# Architectures that concatenate the image with their features: where its channels are cannot be seen from sizes.
CONCATENATING = {"enet", "espnet"}


def scheme(*names: str) -> LabelScheme:
    classes = [{"value": 0, "name": "background", "kind": "background", "color": [0, 0, 0]}]
    classes += [{"value": i, "name": n, "kind": "other", "color": [9, 9, 9]} for i, n in enumerate(names, 1)]
    return LabelScheme.from_dict({"name": "test", "classes": classes})


def describe(model: str, names: str, context: int = 0, **options: Any) -> Description:
    given = SMALL.get(model, {}) | options
    return Description(model, given, 2 * context + 1, scheme(*names), (1.0, 1.0), (0.5, 99.5), context, (64, 64))


def build(description: Description, seed: int = 0) -> nn.Module:
    if description.model == "fcn":  # timm would first draw the 120 million weights of a VGG's classifier
        return randomise(build_unfilled(description, Path("network")).to_empty(device="cpu"), seed).eval()
    network = create_model(
        description.model, description.in_channels, description.scheme.num_classes, **description.options
    )
    return randomise(network, seed).eval()


def move(
    network: nn.Module, source: Description, target: Description, own: nn.Module | None = None
) -> tuple[nn.Module, Transfer]:
    own = build(target, seed=1) if own is None else own
    found = transfer(network.state_dict(), source, Path("source.pt"), own.state_dict(), target, Path("run"))
    own.load_state_dict(found.weights)
    return own, found


def logits(network: nn.Module, image: Tensor) -> Tensor:
    with torch.inference_mode():
        result: Tensor = network(image)
    return result


@pytest.mark.parametrize("model", MODELS)
def test_every_architecture_keeps_what_it_knows(model: str) -> None:
    """Equal classes give equal logits; of other classes those that both have keep their rows, new ones begin as drawn.

    Which weights have a row for each class is seen here from a network with one more.
    """
    source, target, image = describe(model, "ABCDE"), describe(model, "CXAYZE"), torch.randn(1, 1, 64, 64)
    network = build(source)
    same, found = move(network, source, source, randomise(copy.deepcopy(network), 1))
    assert (found.share, found.left, found.by_class) == (1.0, {}, ())
    assert torch.equal(logits(same, image), logits(network, image))

    own, theirs = build(target, seed=1), network.state_dict()
    fresh = copy.deepcopy(own.state_dict())
    wider = build_unfilled(describe(model, "ABCDEF"), Path("wider")).state_dict()
    mine, found = move(network, source, target, own)
    assert (found.known, found.new, found.unused) == (("background", "C", "A", "E"), ("X", "Y", "Z"), ("B", "D"))
    rows = [name for name in theirs if theirs[name].shape != wider[name].shape]
    assert {*found.by_class, *found.left} == {*rows}
    assert bool(found.left) == (model in MIXING)
    for name, value in mine.state_dict().items():
        kept, there = value, theirs[name]
        for axis, (size, more) in enumerate(zip(theirs[name].shape, wider[name].shape, strict=True)):
            if more > size and name not in found.left:
                kept, there = (
                    _rows(kept, axis, more - size, (0, 1, 3, 6)),
                    _rows(there, axis, more - size, (0, 3, 1, 5)),
                )
                new = [_rows(values, axis, more - size, (2, 4, 5)) for values in (value, fresh[name])]
                assert torch.equal(*new), f"{name}: a class that is new begins as it was drawn"
        assert torch.equal(kept, fresh[name] if name in found.left else there), name


@pytest.mark.parametrize("model", ["gcn", "pranet", "bisenetv2", "unet"])
def test_classes_in_another_order_give_the_same_logits_in_that_order(model: str) -> None:
    """Also where weights lead from classes to classes."""
    source, image = describe(model, "ABC"), torch.randn(1, 1, 64, 64)
    network = build(source)
    other, found = move(network, source, describe(model, "CAB"))
    assert (found.share, found.left, found.new, found.unused) == (1.0, {}, (), ())
    torch.testing.assert_close(logits(other, image), logits(network, image)[:, [0, 3, 1, 2]], rtol=1e-3, atol=1e-3)


def _rows(values: Tensor, axis: int, repeat: int, classes: Sequence[int]) -> Tensor:
    """What belongs to some classes, of which each has ``repeat`` places."""
    return values.unflatten(axis, (-1, repeat)).index_select(axis, torch.tensor(classes)).flatten(axis, axis + 1)


@pytest.mark.parametrize("model", ["unet", "bisenetv2", "resunet", "segformer"])
@pytest.mark.parametrize(("before", "after"), [(0, 1), (2, 1), (1, 0)])
def test_a_stack_of_equal_slices_gives_the_same_logits(model: str, before: int, after: int) -> None:
    source, target = describe(model, "AB", before), describe(model, "AB", after)
    network, image = build(source), torch.randn(1, 1, 64, 64)
    other, found = move(network, source, target)
    assert found.left == {}
    assert found.by_channel
    expected = logits(network, image.expand(-1, 2 * before + 1, -1, -1))
    again = logits(other, image.expand(-1, 2 * after + 1, -1, -1))
    torch.testing.assert_close(again, expected, rtol=1e-3, atol=1e-3)
    if after > before:  # further slices have no say yet
        stack = torch.randn(1, 2 * after + 1, 64, 64)
        middle = stack[:, after - before : after + before + 1]
        torch.testing.assert_close(logits(other, stack), logits(network, middle), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model", sorted(CONCATENATING))
def test_where_channels_cannot_be_told_apart_their_weights_begin_anew(model: str) -> None:
    _, found = move(build(describe(model, "AB")), describe(model, "AB"), describe(model, "AB", 1))
    assert found.left
    assert set(found.left.values()) <= {
        "how its size follows from classes and input channels is not known",
        "it has another size (16)",
    }
    assert 0.5 < found.share < 1


def test_what_does_not_fit_is_said() -> None:
    source = describe("unet", "AB", depth=3, deep_supervision=False)
    target = describe("unet", "AB", depth=3, width=8)
    _, found = move(build(source), source, target)
    assert found.left["encoder.0.0.0.weight"] == "it has another size (4 x 4 x 3 x 3)"
    assert found.left["aux_heads.0.weight"] == "there is none of this name"
    assert found.share < 0.01, "only numbers of batches and the like"


def test_weights_in_half_precision_become_single() -> None:
    description = describe("unet", "AB")
    network = build(description)
    half = {name: v.half() if v.is_floating_point() else v for name, v in network.state_dict().items()}
    own = build(description, 1).state_dict()
    found = transfer(half, description, Path("half.safetensors"), own, description, Path("run"))
    assert {v.dtype for v in found.weights.values()} == {torch.float32, torch.int64}
    assert torch.equal(found.weights["head.bias"], half["head.bias"].float())


def test_the_head_is_what_gives_the_classes() -> None:
    description = describe("unet", "AB", stem_stride=1)
    head = head_of(axes_of(description, Path("run")))
    assert {name.partition(".")[0] for name in head} == {"head", "aux_heads"}
    assert head_of(axes_of(describe("segformer", "AB"), Path("run"))) == {
        "decoder.classify.1.weight",
        "decoder.classify.1.bias",
    }
