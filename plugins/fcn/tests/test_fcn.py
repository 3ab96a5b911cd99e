from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spine_ignite.errors import UsageError
from spine_ignite.models import create_model
from spine_ignite.nn.encoders import create_timm_model
from spine_ignite.nn.timm_import import import_timm
from spine_ignite.testing import ModelConformance, assert_agrees


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """An eighth of VGG11's channels make the tests fast; VGG has no option for that."""
    table = import_timm().models.vgg.cfgs
    monkeypatch.setitem(table, "vgg11", [part if part == "M" else part // 8 for part in table["vgg11"]])


class TestFCN(ModelConformance):
    model = "fcn"
    learn_rate = 1e-3
    options: ClassVar[dict[str, Any]] = {"backbone": "vgg11_bn", "padding": "same", "fc_channels": 64, "dropout": 0.1}


class TestFCNOfTheRelease(ModelConformance):
    model = "fcn"
    learn_rate = 1e-3
    options: ClassVar[dict[str, Any]] = {
        "backbone": "vgg11_bn", "variant": "16s", "fc_channels": 64, "dropout": 0.1, "learn_upsampling": True
    }  # fmt: skip


# The layers of shelhamer/fcn.berkeleyvision.org 1305c73, `voc-fcn8s/train.prototxt` and its siblings: 21 classes, three
# channels; in all, and without the fixed deconvolutions.
@pytest.mark.parametrize(
    ("variant", "millions", "learnable"),
    [("8s", 134.490, 134.363), ("16s", 134.816, 134.357), ("32s", 136.153, 134.347)],
)
def test_the_official_networks_have_their_sizes(variant: str, millions: float, learnable: float) -> None:
    widths = [64, 64, 128, 128, *[256] * 3, *[512] * 6]
    encoder = sum(9 * before * width + width for before, width in zip([3, *widths[:-1]], widths, strict=True))
    classifier = 49 * 512 * 4096 + 4096 + 4096 * 4096 + 4096
    steps = {"8s": 2, "16s": 1, "32s": 0}[variant]
    scores = sum((channels + 1) * 21 for channels in (4096, 512, 256)[: steps + 1])
    fixed = 21 * 21 * (16 * steps + (2 * int(variant[:-1])) ** 2)
    with torch.device("meta"):
        network = create_model("fcn", 3, 21, variant=variant)
    assert sum(p.numel() for p in network.parameters() if p.requires_grad) == encoder + classifier + scores
    assert sum(p.numel() for p in network.parameters()) == encoder + classifier + scores + fixed
    assert (encoder + classifier + scores) / 1e6 == pytest.approx(learnable, abs=6e-4)
    assert (encoder + classifier + scores + fixed) / 1e6 == pytest.approx(millions, abs=6e-4)


@pytest.mark.parametrize("variant", ["8s", "16s", "32s"])
@pytest.mark.parametrize("size", [(64, 64), (71, 97), (160, 113)])
def test_the_release_s_crops_give_the_input_s_size(variant: str, size: tuple[int, int]) -> None:
    network = create_model("fcn", 1, 3, backbone="vgg11", fc_channels=8, variant=variant).eval()
    with torch.inference_mode():
        assert network(torch.randn(1, 1, *size)).shape == (1, 3, *size)


@pytest.mark.parametrize("padding", ["release", "same"])
@pytest.mark.parametrize("variant", ["8s", "16s", "32s"])
def test_a_logit_looks_at_its_own_place(variant: str, padding: str) -> None:
    """With equal weights everywhere, the pixels that a logit depends on are centred on it.

    A wrong crop would move them by 8 pixels or more for each pixel that it is wrong.
    """
    network = create_model("fcn", 1, 2, backbone="vgg11", fc_channels=8, variant=variant, padding=padding).eval()
    for name, parameter in network.named_parameters():
        if not name.startswith("up."):
            torch.nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1 / parameter[0].numel())
    image = 1 + 0.01 * torch.rand(1, 1, 480, 480, generator=torch.Generator().manual_seed(0))
    image.requires_grad_()
    (gradient,) = torch.autograd.grad(network(image)[0, 0, 250, 230], image)
    weights = gradient[0, 0].abs()
    rows, columns = torch.arange(480.0)[:, None], torch.arange(480.0)[None]
    centre = [float((weights * place).sum() / weights.sum()) for place in (rows, columns)]
    assert centre == pytest.approx([250, 230], abs=float(variant[:-1]) / 2 + 2)


@pytest.mark.parametrize("size", [(40, 48), (33, 47)])
@pytest.mark.parametrize("variant", ["8s", "16s", "32s"])
def test_the_network_is_the_authors_file(variant: str, size: tuple[int, int]) -> None:
    """shelhamer/fcn.berkeleyvision.org 1305c73, `net.py` and the offsets in `train.prototxt` of each variant.

    They are of Caffe and do not run here: layer by layer, with VGG11 made thin for VGG16.
    """
    network = create_model("fcn", 2, 3, backbone="vgg11", fc_channels=8, variant=variant, learn_upsampling=True)
    last, offset = {"8s": (8, 31), "16s": (16, 27), "32s": (32, 19)}[variant]

    def pool(x: Tensor) -> Tensor:
        """Caffe rounds up: what an odd border lacks does not count."""
        x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), value=-torch.inf)
        return torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]).amax(0)

    def deconvolution(conv: Any, x: Tensor, stride: int) -> Tensor:
        """Each pixel adds its kernel of twice the stride at its place."""
        batch, _, height, width = x.shape
        kernels = torch.einsum("bchw,coij->bohwij", x, conv.weight)
        out = torch.zeros(batch, 3, stride * (height + 1), stride * (width + 1), dtype=x.dtype)
        for i in range(height):
            for j in range(width):
                place = (..., slice(stride * i, stride * (i + 2)), slice(stride * j, stride * (j + 2)))
                out[place] = out[place] + kernels[:, :, i, j]
        return out

    def score(conv: Any, x: Tensor) -> Tensor:
        return torch.einsum("bchw,oc->bohw", x, conv.weight[..., 0, 0]) + conv.bias[:, None, None]

    def crop(x: Tensor, offset: int, height: int, width: int) -> Tensor:
        return x[..., offset : offset + height, offset : offset + width]

    def reference(x: Tensor) -> Tensor:
        pools = []
        for number, stage in enumerate(network.stages):
            for conv in (part for part in stage if isinstance(part, nn.Conv2d)):
                first = number == 0 and conv is stage[0]
                x = F.conv2d(x, conv.weight, conv.bias, padding=100 if first else 1).clamp_min(0)
            x = pool(x)
            pools.append(x)
        fc6, fc7 = network.classifier[0], network.classifier[3]
        x = F.conv2d(x, fc6.weight, fc6.bias).clamp_min(0)
        x = score(network.score[0], score(fc7, x).clamp_min(0))
        if variant != "32s":
            x = deconvolution(network.up[0], x, 2)
            x = x + crop(score(network.score[1], pools[3]), 5, *x.shape[2:])
        if variant == "8s":
            x = deconvolution(network.up[1], x, 2)
            x = x + crop(score(network.score[2], pools[2]), 9, *x.shape[2:])
        return crop(deconvolution(network.up[-1], x, last), offset, *size)

    assert_agrees(network, reference, torch.randn(1, 2, *size))


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_deconvolutions_are_bilinear_interpolation(factor: int) -> None:
    variant = {2: "8s", 8: "8s", 16: "16s", 32: "32s"}[factor]
    network = create_model("fcn", 1, 3, backbone="vgg11", fc_channels=8, variant=variant, padding="same")
    up = network.up[0] if factor == 2 else network.up[-1]
    x = torch.randn(1, 3, 5, 6)
    expected = F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)
    inside = (..., slice(factor, -factor), slice(factor, -factor))
    torch.testing.assert_close(up(x)[inside], expected[inside])


@pytest.mark.parametrize("pretrained", [True, False])
def test_the_fully_connected_layers_start_from_imagenet(monkeypatch: pytest.MonkeyPatch, pretrained: bool) -> None:
    """Section 4.1: the classifier is made convolutional, with its weights; without weights it is drawn anew."""
    original: dict[str, torch.Tensor] = {}

    def build(name: str, in_channels: int, *_: Any) -> Any:
        vgg = create_timm_model(name, in_channels)
        original.update({key: value.clone() for key, value in vgg.pre_logits.state_dict().items()})
        return vgg

    monkeypatch.setattr("spine_ignite_fcn.model.create_timm_model", build)
    network = create_model("fcn", 1, 2, backbone="vgg11", pretrained=pretrained)
    fc6, fc7 = network.classifier[0], network.classifier[3]
    assert torch.equal(fc6.weight, original["fc1.weight"]) is pretrained
    assert torch.equal(fc7.weight, original["fc2.weight"]) is pretrained


def test_learning_deconvolutions_are_an_option() -> None:
    network = create_model("fcn", 1, 2, backbone="vgg11", fc_channels=8, learn_upsampling=True)
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "4s"}, "variant: input should be '8s', '16s' or '32s'"),
        ({"backbone": "resnet50"}, "backbone: input should be 'vgg11', 'vgg13'"),
        ({"paddding": "same"}, "Did you mean 'padding'?"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create_model("fcn", 1, 2, **options)
    assert message in str(caught.value)
