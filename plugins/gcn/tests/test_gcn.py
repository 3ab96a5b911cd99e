from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.testing import ModelConformance, assert_agrees, randomise
from spine_ignite_gcn.model import GlobalConvolution, Upsampling


class TestGCN(ModelConformance):
    model = "gcn"
    learn_rate = 1e-2
    options: ClassVar[dict[str, Any]] = {"backbone": "mobilenetv3_small_050", "kernel": 7}


def conv(inputs: int, outputs: int, kernel: int = 1) -> int:
    """Parameters of a convolution with bias."""
    return inputs * outputs * kernel * kernel + outputs


def norm(channels: int) -> int:
    """Parameters of batch norm."""
    return 2 * channels


def count(in_channels: int, classes: int, **options: Any) -> int:
    with torch.device("meta"):
        network = create_model("gcn", in_channels, classes, **options)
    return sum(p.numel() for p in network.parameters())


class TestBilinear(ModelConformance):
    model = "gcn"
    sizes = ((64, 64), (65, 97), (160, 113))
    learn_rate = 1e-2
    options: ClassVar[dict[str, Any]] = {"backbone": "resnet10t", "kernel": 5, "upsampling": "bilinear"}


@pytest.mark.parametrize(("kernel", "millions"), [(7, 59.370), (15, 60.688)])
def test_the_network_has_the_size_of_its_layers(kernel: int, millions: float) -> None:
    """ResNet-152, 21 classes, bilinear upsampling: the sizes of models with kernels of 7 and of 15."""
    head = 0
    for channels in (256, 512, 1024, 2048):
        head += 2 * (channels * 21 * kernel + 21 + 21 * 21 * kernel + 21)
    head += 9 * 2 * conv(21, 21, 3)
    encoder = 58_143_808
    assert count(3, 21, kernel=kernel, upsampling="bilinear") == encoder + head
    assert (encoder + head) / 1e6 == pytest.approx(millions, abs=6e-4)
    assert count(3, 21, kernel=kernel) == encoder + head + 5 * 21 * 21 * 16


@pytest.mark.parametrize("biases", [True, False])
def test_the_block_is_one_dense_convolution(biases: bool) -> None:
    """The sum of two outer products (Peng et al. 2017, section 3.1); at the border the inner biases tell it apart."""
    block = randomise(GlobalConvolution(3, 2, 5)).double()
    if not biases:
        for pair in (block.left, block.right):
            pair[0].bias.data.zero_()
    (a, b), (c, d) = block.left, block.right
    kernel = torch.einsum("oci,mok->mcik", a.weight[..., 0], b.weight[:, :, 0])
    kernel = kernel + torch.einsum("ocj,mok->mckj", c.weight[:, :, 0], d.weight[..., 0])
    bias = b.bias + b.weight.sum((2, 3)) @ a.bias + d.bias + d.weight.sum((2, 3)) @ c.bias
    x = torch.randn(2, 3, 9, 11, dtype=torch.float64, requires_grad=True)
    inside = (..., slice(None), slice(None)) if not biases else (..., slice(2, -2), slice(2, -2))
    found, expected = block(x)[inside], F.conv2d(x, kernel, bias, padding=2)[inside]
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    weights = torch.randn_like(found)
    mine, theirs = (torch.autograd.grad((y * weights).sum(), [x, *block.parameters()]) for y in (found, expected))
    for name, one, other in zip(["input", *dict(block.named_parameters())], mine, theirs, strict=True):
        # At the border the inner biases reach fewer outputs than in the dense form, also where they are zero.
        if biases or not name.endswith("0.bias"):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, msg=f"gradient of {name}")


def test_the_block_and_its_gradient_agree_with_sums_over_taps() -> None:
    block = GlobalConvolution(2, 3, 3)

    def thin(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows, columns = weight.shape[2] // 2, weight.shape[3] // 2
        padded = F.pad(x, (columns, columns, rows, rows))
        out = bias.view(1, -1, 1, 1)
        for i in range(weight.shape[2]):
            for j in range(weight.shape[3]):
                window = padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
                out = out + torch.einsum("bchw,oc->bohw", window, weight[:, :, i, j])
        return out

    def reference(x: Tensor) -> Tensor:
        pairs = []
        for first, second in (block.left, block.right):
            pairs.append(thin(thin(x, first.weight, first.bias), second.weight, second.bias))
        return pairs[0] + pairs[1]

    assert_agrees(block, reference, torch.randn(1, 2, 6, 5))


def test_deconvolutions_start_as_bilinear_interpolation() -> None:
    x = torch.randn(1, 3, 6, 7)
    found = Upsampling(3, "transposed")(x, (12, 14))
    expected = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1])


@pytest.mark.parametrize("backbone", ["vgg11", "convnext_atto"])
def test_encoders_that_round_down_or_start_elsewhere(backbone: str) -> None:
    """VGG starts at stride 1, ConvNeXt at 4; both round odd sizes down."""
    network = create_model("gcn", 1, 4, backbone=backbone).eval()
    with torch.inference_mode():
        for size in ((65, 97), (71, 128)):
            assert network(torch.randn(1, 1, *size)).shape == (1, 4, *size)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": 8}, "kernel: must be odd, got 8"),
        ({"kernel": 1}, "kernel: input should be greater than or equal to 3"),
        ({"upsampling": "nearest"}, "upsampling: input should be 'transposed' or 'bilinear'"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("gcn", 1, 2, **options)
    assert message in str(caught.value)
