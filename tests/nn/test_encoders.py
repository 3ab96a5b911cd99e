from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from spine_ignite.errors import RunError, UsageError
from spine_ignite.nn.encoders import build_encoder, multi_grid_dilations, uniform_dilations
from spine_ignite.nn.timm_import import import_timm


def dilations(encoder: nn.Module, stage: int) -> list[int]:
    """The dilation of each block's 3x3 convolutions, which must agree within a block."""
    found = []
    for block in getattr(encoder.net, f"layer{stage}").children():
        in_block = {m.dilation[0] for m in block.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)}
        assert all(m.padding == m.dilation for m in block.modules() if getattr(m, "kernel_size", 1) == (3, 3) and
                   isinstance(m, nn.Conv2d))  # fmt: skip
        found.append(max(in_block))
        assert len(in_block) == 1
    return found


# Of residual networks at output stride 8, as the repositories have them that docs/models.md names.
@pytest.mark.parametrize(
    ("pattern", "third", "fourth"),
    [
        (None, [1, 2, 2, 2, 2, 2], [2, 4, 4]),  # timm, torchvision, ANN
        (uniform_dilations, [2] * 6, [4, 4, 4]),  # PSPNet, PSANet, CCNet, OCNet
        (multi_grid_dilations((1, 2, 4)), [1, 2, 2, 2, 2, 2], [4, 8, 16]),  # DANet
        (multi_grid_dilations((1, 2, 4), uniform=True), [2] * 6, [4, 8, 16]),  # DeepLabv3 and v3+
        (lambda stride: {4: (2, 8, 16)}, [1, 2, 2, 2, 2, 2], [2, 8, 16]),  # EMANet
    ],
)
@pytest.mark.parametrize("backbone", ["resnet50s", "res2net50d"])
def test_dilations_follow_the_papers(backbone: str, pattern: Any, third: list[int], fourth: list[int]) -> None:
    with torch.device("meta"):
        encoder = build_encoder(backbone, 1, output_stride=8, dilations=pattern)
    assert dilations(encoder, 3) == third
    assert dilations(encoder, 4) == fourth


def test_deeplab_s_multi_grid_at_stride_16() -> None:
    with torch.device("meta"):
        encoder = build_encoder("resnet50", 1, output_stride=16, dilations=multi_grid_dilations((1, 2, 4), True))
    assert dilations(encoder, 3) == [1] * 6
    assert dilations(encoder, 4) == [2, 4, 8]


@pytest.mark.parametrize(
    ("backbone", "stride"),
    [
        ("resnet18", 8),
        ("resnet18", 16),
        ("resnet18", 32),
        ("densenet121", 8),
        ("densenet121", 16),
        ("vgg11_bn", 32),
        ("efficientnet_b0", 16),
        ("convnext_atto", 8),
    ],
)
def test_features_have_the_channels_and_strides_that_are_said(backbone: str, stride: int) -> None:
    encoder = build_encoder(backbone, 2, output_stride=stride).eval()
    with torch.inference_mode():
        features = encoder(torch.randn(1, 2, 96, 64))
    assert encoder.strides[-1] == stride
    assert [f.shape[1] for f in features] == list(encoder.channels)
    assert [tuple(f.shape[2:]) for f in features] == [(96 // s, 64 // s) for s in encoder.strides]


SIZES = ((64, 64), (65, 97))
ANY_SIZE = ["resnet18", "vgg11_bn", "densenet121", "convnext_femto", "efficientnet_b0", "mobilenetv3_small_050"]


@pytest.mark.parametrize("backbone", ANY_SIZE)
def test_backbones_that_take_any_size_are_left_alone(backbone: str) -> None:
    encoder = build_encoder(backbone, 1).eval()
    with torch.inference_mode():
        for size in SIZES:
            image = torch.randn(1, 1, *size)
            for found, expected, stride in zip(encoder(image), encoder.net(image), encoder.strides, strict=True):
                assert torch.equal(found, expected)
                for length, whole in zip(found.shape[2:], size, strict=True):
                    assert whole // stride <= length <= -(-whole // stride)


@pytest.mark.parametrize("backbone", ["hrnet_w18_small", "dla34"])
def test_backbones_that_take_whole_sizes_only_get_them(backbone: str) -> None:
    """At multiples of 32 nothing changes; else the maps are those of the slice with its border repeated."""
    encoder = build_encoder(backbone, 1).eval()
    with torch.inference_mode():
        image = torch.randn(1, 1, 64, 64)
        for found, expected in zip(encoder(image), encoder.net(image), strict=True):
            assert torch.equal(found, expected)
        image = torch.randn(1, 1, 65, 97)
        with pytest.raises(RuntimeError):
            encoder.net(image)
        repeated = image[:, :, [*range(65), *[64] * 31]][..., [*range(97), *[96] * 31]]
        for found, expected, stride in zip(encoder(image), encoder.net(repeated), encoder.strides, strict=True):
            rows, columns = -(-65 // stride), -(-97 // stride)
            assert torch.equal(found, expected[..., :rows, :columns])


def test_a_vgg_draws_no_weights_of_a_classifier() -> None:
    """The features are timm's, and nothing of the 120 million weights behind them is made."""
    sizes: list[int] = []
    handle = register_module_parameter_registration_hook(lambda module, name, value: sizes.append(value.numel()))
    try:
        encoder = build_encoder("vgg16_bn", 1)
    finally:
        handle.remove()
    assert max(sizes) == 9 * 512 * 512
    with torch.device("meta"):
        expected = import_timm().create_model("vgg16_bn", features_only=True, in_chans=1).state_dict()
    assert {k: v.shape for k, v in encoder.net.state_dict().items()} == {k: v.shape for k, v in expected.items()}


# Trainable parameters without the classifier, three channels: counted in torchvision (resnet, vgg), hszhao/semseg
# 4f274c3 (deep stems), DengPingFan/PraNet 95f12bd (Res2Net) and jfzhang95/pytorch-deeplab-xception 9135e10.
@pytest.mark.parametrize(
    ("backbone", "millions"),
    [
        ("resnet50", 23.508),
        ("resnet101", 42.500),
        ("resnet152", 58.144),
        ("resnet50s", 23.632),
        ("resnet101s", 42.624),
        ("res2net50d", 23.669),
        ("res2net101d", 43.177),
        ("vgg16_bn", 14.723),
        ("xception65", 37.867),
    ],
)
def test_encoders_have_the_official_sizes(backbone: str, millions: float) -> None:
    with torch.device("meta"):
        encoder = build_encoder(backbone, 3)
    assert sum(p.numel() for p in encoder.parameters()) / 1e6 == pytest.approx(millions, abs=5.1e-4)


def test_a_dilated_densenet_sees_the_same_weights_at_a_finer_grid() -> None:
    """At stride 8 every second pixel of the first dilated block's input is what is pooled at 32."""
    coarse, fine = build_encoder("densenet121", 1), build_encoder("densenet121", 1, output_stride=8)
    fine.load_state_dict(coarse.state_dict())
    assert {
        m.dilation[0] for m in fine.net.features_denseblock3.modules() if getattr(m, "kernel_size", 0) == (3, 3)
    } == {2}
    assert {
        m.dilation[0] for m in fine.net.features_denseblock4.modules() if getattr(m, "kernel_size", 0) == (3, 3)
    } == {4}


def test_weights_come_from_a_file_and_fit_one_channel(tmp_path: Path) -> None:
    """timm sums the filters of red, green and blue, so that a grey image gives what it gave in three channels."""
    whole = import_timm().create_model("resnet18")
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    encoder = build_encoder("resnet18", 1, weights=tmp_path / "weights.pth").eval()
    grey = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        expected = whole.eval().forward_features(grey.expand(-1, 3, -1, -1))
        torch.testing.assert_close(encoder(grey)[-1], expected, rtol=1e-3, atol=1e-4)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    for name in ("other.pth", "text.pth"):
        with pytest.raises(RunError, match=f"{name} does not hold weights of backbone 'resnet18'"):
            build_encoder("resnet18", 1, weights=tmp_path / name)
    with pytest.raises(UsageError, match="is not a file"):
        build_encoder("resnet18", 1, weights=tmp_path / "none.pth")
    wider = import_timm().create_model("resnet18").state_dict()
    wider["layer4.1.conv2.weight"] = torch.zeros(512, 1024, 3, 3)
    torch.save(wider, tmp_path / "wider.pth")
    with pytest.raises(RunError) as caught:
        build_encoder("resnet18", 1, weights=tmp_path / "wider.pth")
    assert "wider.pth does not hold weights of backbone 'resnet18'" in str(caught.value)
    assert "size mismatch for layer4.1.conv2.weight" in str(caught.value)


def test_pretrained_weights_without_a_network_are_a_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(RunError, match="could not be fetched .* set model.weights to a file"):
        build_encoder("resnet18.a1_in1k", 1, pretrained=True)


@pytest.mark.parametrize(
    ("backbone", "stride", "message"),
    [
        ("resnet_50", 32, "backbone 'resnet_50' is not one of timm's. Did you mean 'resnet50'?"),
        ("vgg16", 8, "backbone 'vgg16' is not available with output stride 8"),
        ("dla34", 16, "backbone 'dla34' is not available with output stride 16"),
        ("vit_tiny_patch16_224", 32, "gives no feature pyramid"),
        ("maxvit_tiny_tf_224", 32, "backbone 'maxvit_tiny_tf_224' takes slices of 224 x 224 pixels only"),
        ("mambaout_femto", 32, "gives maps with their channels last"),
    ],
)
def test_a_backbone_that_cannot_be_had_is_refused(backbone: str, stride: int, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        build_encoder(backbone, 1, output_stride=stride)
    assert message in str(caught.value)


def test_weights_are_not_blamed_for_a_stride() -> None:
    with pytest.raises(UsageError, match="backbone 'dla34' is not available with output stride 8"):
        build_encoder("dla34", 1, output_stride=8, pretrained=True)
