from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.spec import ModelOutput
from spine_ignite.testing import ModelConformance, assert_agrees

PAPER: dict[str, Any] = {"width": 64, "depth": 5, "max_width": 1024, "norm": "none"}


class TestUNet(ModelConformance):
    model = "unet"
    options: ClassVar[dict[str, Any]] = {"width": 8}


class TestUNetVariant(ModelConformance):
    model = "unet"
    learn_rate = 1e-2
    options: ClassVar[dict[str, Any]] = {
        "width": 16,
        "depth": 7,
        "max_width": 32,
        "norm": "group",
        "upsampling": "bilinear",
        "deep_supervision": True,
    }


class TestUNetOfFoldedPixels(ModelConformance):
    model = "unet"
    learn_rate = 1e-2
    options: ClassVar[dict[str, Any]] = {"width": 16, "stem_stride": 2, "deep_supervision": True}


def parameters(in_channels: int, classes: int, **options: Any) -> int:
    network = create_model("unet", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


def from_the_layer_table(in_channels: int, classes: int) -> int:
    """Figure 1 of the paper: 3x3 convolutions, 2x2 up-convolutions and a 1x1 convolution, all with biases."""
    widths = [64, 128, 256, 512, 1024]
    total = 0
    for before, width in zip([in_channels, *widths[:-1]], widths, strict=True):
        total += 9 * before * width + width + 9 * width * width + width
    for deep, width in zip(widths[:0:-1], widths[-2::-1], strict=True):
        total += 4 * deep * width + width
        total += 9 * 2 * width * width + width + 9 * width * width + width
    return total + 64 * classes + classes


@pytest.mark.parametrize(("in_channels", "classes", "millions"), [(3, 2, 31.032), (1, 2, 31.031), (1, 20, 31.032)])
def test_the_paper_s_network_has_the_paper_s_size(in_channels: int, classes: int, millions: float) -> None:
    count = parameters(in_channels, classes, **PAPER)
    assert count == from_the_layer_table(in_channels, classes)
    assert count / 1e6 == pytest.approx(millions, abs=6e-4)


def test_batch_norm_adds_two_and_removes_one_parameter_per_channel() -> None:
    channels = 2 * (64 + 128 + 256 + 512 + 1024 + 512 + 256 + 128 + 64)
    assert parameters(1, 2, **{**PAPER, "norm": "batch"}) == from_the_layer_table(1, 2) + channels


def test_deep_supervision_halves_the_weight_at_each_coarser_level() -> None:
    network = create_model("unet", 1, 3, width=4, depth=4, deep_supervision=True).train()
    output = network(torch.randn(1, 1, 64, 64))
    assert isinstance(output, ModelOutput)
    found = sorted((aux.logits.shape[-1], aux.weight) for aux in output.aux.values())
    assert found == [(16, 0.25), (32, 0.5)]


def plain_norm(layer: Any, x: Tensor) -> Tensor:
    """Batch norm in eval mode; nothing where there is none."""
    if isinstance(layer, nn.Identity):
        return x
    scale = layer.weight / (layer.running_var + layer.eps) ** 0.5
    return (x - layer.running_mean[:, None, None]) * scale[:, None, None] + layer.bias[:, None, None]


def pairs_of(x: Tensor) -> Tensor:
    """The 2x2 windows of a map, (B, C, ceil(H / 2), ceil(W / 2), 4); what an odd border lacks is minus infinity."""
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=-torch.inf)
    return torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], -1)


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("size", [(32, 48), (31, 45)])
def test_the_network_is_the_paper_s_figure(norm: str, size: tuple[int, int]) -> None:
    """Figure 1, layer by layer, with padding: the authors' Caffe files do not run here."""
    network = create_model("unet", 2, 3, width=4, depth=4, max_width=32, norm=norm)

    def twice(pair: Any, x: Tensor) -> Tensor:
        for conv, normalise, _ in pair:
            x = plain_norm(normalise, F.conv2d(x, conv.weight, conv.bias, padding=1)).clamp_min(0)
        return x

    def reference(x: Tensor) -> Tensor:
        skips = [twice(network.encoder[0], x)]
        for pair in network.encoder[1:]:
            skips.append(twice(pair, pairs_of(skips[-1]).amax(-1)))
        x = skips.pop()
        for up, pair in zip(network.up, network.decoder, strict=True):
            skip = skips.pop()
            batch, _, height, width = x.shape
            x = torch.einsum("bchw,coij->bohiwj", x, up.weight).reshape(batch, -1, 2 * height, 2 * width)
            x = (x + up.bias[:, None, None])[..., : skip.shape[2], : skip.shape[3]]
            x = twice(pair, torch.cat([skip, x], 1))
        return torch.einsum("bchw,oc->bohw", x, network.head.weight[..., 0, 0]) + network.head.bias[:, None, None]

    assert_agrees(network, reference, torch.randn(2, 2, *size))


@pytest.mark.parametrize("size", [(32, 48), (30, 45)])
def test_a_stride_of_the_stem_is_a_network_on_folded_pixels(size: tuple[int, int]) -> None:
    options = {"width": 4, "depth": 3}
    network = create_model("unet", 3, 5, stem_stride=2, **options).eval()
    folded = create_model("unet", 12, 20, **options).eval()
    folded.load_state_dict(network.state_dict())
    image = torch.randn(2, 3, *size)
    rows, columns = (torch.arange(n + n % 2).clamp(max=n - 1) for n in size)  # an odd border is repeated
    padded = image[..., rows, :][..., columns]
    channels = [padded[:, c, i::2, j::2] for c in range(3) for i in range(2) for j in range(2)]
    answer = folded(torch.stack(channels, 1))
    logits = torch.empty(2, 5, *padded.shape[-2:])
    for place in range(4):
        logits[:, :, place // 2 :: 2, place % 2 :: 2] = answer[:, place::4]
    torch.testing.assert_close(network(image), logits[..., : size[0], : size[1]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 64, "max_width": 32}, "max_width 32 is below the first level's width 64"),
        ({"width": 1}, "width: input should be greater than or equal to 4"),
        ({"norm": "layer"}, "norm: input should be 'batch', 'instance', 'group' or 'none'"),
        ({"widht": 8}, "unknown key 'widht'. Did you mean 'width'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("unet", 1, 2, **options)
    assert message in str(caught.value)


def test_auxiliary_logits_are_resized_as_the_source_does() -> None:
    """Ours, no paper's: 2x2 pooling and its inverse put the outer edges of the levels on each other."""
    assert load_registry().find("unet").value.aux_align_corners is False
