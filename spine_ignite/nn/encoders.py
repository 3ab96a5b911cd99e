"""Encoders: the backbones of timm as feature pyramids, dilated as the segmentation papers have them."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spine_ignite.errors import RunError, UsageError
from spine_ignite.nn.blocks import divide_up
from spine_ignite.nn.padding import pad_to_multiple
from spine_ignite.nn.timm_import import import_timm

# By output stride, the dilations of the 3x3 convolutions of a residual network's stages, block by block, by number of
# the stage; the last one holds for all further blocks. Stages that are not named keep timm's pattern, in which the
# first block of a stage has the dilation of the stage before (Chen et al. 2017), as in torchvision and ANN.
Dilations = Callable[[int], Mapping[int, Sequence[int]]]

# Families (the beginning of their names) that add maps which they round differently, and stop at most sizes that are
# no multiple of their last stride.
_WHOLE_SIZES_ONLY = ("dla", "hieradet", "hrnet", "sam2_hiera", "tresnet")


def uniform_dilations(output_stride: int) -> Mapping[int, Sequence[int]]:
    """Dilate every block of a stage alike at output stride 8: PSPNet, PSANet, CCNet and OCNet."""
    return {3: (2,), 4: (4,)} if output_stride == 8 else {}


def multi_grid_dilations(factors: Sequence[int], uniform: bool = False) -> Dilations:
    """Return dilations with a multi-grid in stage 4 (Chen et al. 2017, section 3.1): the stage's own times each factor.

    With factors (1, 2, 4) that is 2, 4, 8 at output stride 16 and 4, 8, 16 at 8. Stride 32 has none.

    Args:
        factors: block by block; the last one holds for all further blocks.
        uniform: at output stride 8 dilate every block of stage 3 alike, as the DeepLabs do; DANet does not.
    """

    def dilations(output_stride: int) -> Mapping[int, Sequence[int]]:
        if output_stride == 32:
            return {}
        third = uniform_dilations(output_stride) if uniform else {}
        return {**third, 4: tuple(factor * 32 // output_stride for factor in factors)}

    return dilations


class Encoder(nn.Module):
    """A network that maps ``(B, in_channels, H, W)`` to a list of feature maps, from fine to coarse.

    Attributes:
        channels: channels of each map.
        strides: input pixels per pixel of each map; a map has ``ceil(H / stride)`` rows, or one less where a stage of
            the backbone rounds down.
        multiple: of which the backbone needs H and W; the border is replicated to reach it, and the maps are cropped.
    """

    def __init__(self, net: nn.Module, channels: Sequence[int], strides: Sequence[int], multiple: int = 1) -> None:
        super().__init__()
        self.net = net
        self.channels = tuple(channels)
        self.strides = tuple(strides)
        self.multiple = multiple

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps ``(B, channels[i], H / strides[i], W / strides[i])``."""
        if self.multiple == 1:
            return list(self.net(x))
        height, width = x.shape[-2:]
        maps = self.net(pad_to_multiple(x, self.multiple))
        return [
            level[..., : divide_up(height, stride), : divide_up(width, stride)]
            for level, stride in zip(maps, self.strides, strict=True)
        ]


def build_encoder(
    backbone: str,
    in_channels: int,
    *,
    output_stride: int = 32,
    dilations: Dilations | None = None,
    pretrained: bool = False,
    weights: str | Path | None = None,
) -> Encoder:
    """Build a backbone of timm as a feature pyramid.

    Args:
        backbone: timm's name, ``resnet50`` or with a tag of weights, ``resnet50.a1_in1k``.
        in_channels: input channels; weights for three are summed or repeated by timm to fit.
        output_stride: of the last map: 32, or 16 and 8, where strides are replaced by dilations. DenseNets, which timm
            does not dilate, are dilated here (transitions without pooling, as in DenseASPP).
        dilations: for ResNets and their kin (stages ``layer1`` to ``layer4``), gives the dilations of their blocks, see
            :data:`Dilations`. Networks of other families ignore it.
        pretrained: fetch timm's weights from its hub.
        weights: load this file of weights (``.safetensors``, ``.pth``), in timm's names, instead.

    Raises:
        UsageError: no such backbone, one without pyramids, one that cannot have this stride, one that takes slices of a
            single size, or no such file.
        RunError: weights cannot be fetched or do not fit.
    """
    densenet = backbone.startswith("densenet")
    options: dict[str, Any] = {"features_only": True}
    if output_stride != 32 and not densenet:
        options["output_stride"] = output_stride
    if backbone.startswith("vgg") and not pretrained and weights is None:
        # Else timm draws 120 million weights of a classifier first, which the features leave out.
        options |= {"mlp_ratio": 1 / 4096, "num_classes": 0}
    net = create_timm_model(backbone, in_channels, pretrained, weights, **options)
    channels, strides = net.feature_info.channels(), net.feature_info.reduction()
    if densenet and output_stride != 32:
        _dilate_densenet(net, output_stride)
        strides = [min(stride, output_stride) for stride in strides]
    if len(set(strides)) < 2 or sorted(strides) != list(strides):
        raise UsageError(f"backbone '{backbone}' gives no feature pyramid (strides {strides}); choose another")
    if getattr(net, "output_fmt", "NCHW") == "NHWC":
        raise UsageError(f"backbone '{backbone}' gives maps with their channels last; choose another")
    if strides[-1] != output_stride:
        raise UsageError(f"backbone '{backbone}' has output stride {strides[-1]} and cannot have {output_stride}")
    for stage, pattern in (dilations(output_stride) if dilations else {}).items():
        if hasattr(net, f"layer{stage}"):
            _set_dilations(getattr(net, f"layer{stage}"), pattern)
    encoder = Encoder(net, channels, strides, strides[-1] if backbone.startswith(_WHOLE_SIZES_ONLY) else 1)
    if net.pretrained_cfg.get("fixed_input_size") and not _takes(encoder, torch.zeros(1, in_channels, 65, 97)):
        size = " x ".join(str(length) for length in net.pretrained_cfg["input_size"][1:])
        raise UsageError(f"backbone '{backbone}' takes slices of {size} pixels only; choose another")
    return encoder


def _takes(encoder: Encoder, x: Tensor) -> bool:
    """Whether an encoder takes this input: of the backbones that timm marks as made for one size, some take any."""
    try:
        with torch.inference_mode():
            encoder.eval()(x.to(next(encoder.parameters()).device))
    except (RuntimeError, AssertionError):
        return False
    encoder.train()
    return True


def create_timm_model(
    name: str, in_channels: int, pretrained: bool = False, weights: str | Path | None = None, **options: Any
) -> Any:
    """Build a model of timm.

    Args:
        name: timm's name.
        in_channels: input channels.
        pretrained: fetch timm's weights from its hub.
        weights: load this file instead.
        options: further arguments of ``timm.create_model``.

    Raises:
        UsageError: no such model, not with these options, or no such file.
        RunError: weights cannot be fetched or do not fit.
    """
    timm = import_timm()
    if not timm.is_model(name.split(".")[0]):
        close = difflib.get_close_matches(name, timm.list_models(), 1)
        raise UsageError(
            f"backbone '{name}' is not one of timm's"
            + (f". Did you mean '{close[0]}'?" if close else "; timm.list_models() names them")
        )
    source: dict[str, Any] = {"pretrained": pretrained}
    if weights is not None:
        _check_weights(timm, name, str(weights))
        source = {"pretrained": True, "pretrained_cfg_overlay": {"file": str(weights)}}
    try:
        return timm.create_model(name, in_chans=in_channels, **source, **options)
    except Exception as error:  # timm raises whatever comes along, from AssertionError to errors of its hub
        reason = textwrap.shorten(str(error) or type(error).__name__, 240, placeholder=" …")
        if not source["pretrained"]:
            raise UsageError(f"backbone '{name}' is not available with {_named(options)}: {reason}") from error
        create_timm_model(name, in_channels, **options)  # if this raises, the weights are not to blame
        if weights is not None:
            raise RunError(f"{weights} does not hold weights of backbone '{name}': {reason}") from error
        raise RunError(
            f"the weights of backbone '{name}' could not be fetched ({reason}); "
            "set model.weights to a file that has them, or model.pretrained to false"
        ) from error


def _named(options: Mapping[str, Any]) -> str:
    """Say what was asked of a backbone that cannot be built."""
    if "output_stride" in options:
        return f"output stride {options['output_stride']}"
    return "feature pyramids" if "features_only" in options else "these options"


def _check_weights(timm: Any, name: str, path: str) -> None:
    """Refuse a file that lacks weights of the backbone: timm would leave these at random and go on."""
    if not Path(path).is_file():
        raise UsageError(f"weights: '{path}' is not a file")
    try:
        found = timm.models.load_state_dict(path)
    except Exception as error:  # whatever a reader of pickles and safetensors may say of a file that is neither
        raise RunError(f"{path} does not hold weights of backbone '{name}': it cannot be read ({error})") from error
    with torch.device("meta"):
        whole = timm.create_model(name)
    classifiers = whole.pretrained_cfg.get("classifier") or ()
    classifiers = (classifiers,) if isinstance(classifiers, str) else tuple(classifiers)
    missing = [
        key
        for key in whole.state_dict()
        if key not in found and not key.endswith("num_batches_tracked") and not key.startswith(classifiers)
    ]
    if missing:
        raise RunError(
            f"{path} does not hold weights of backbone '{name}' in timm's names: "
            f"it lacks {', '.join(missing[:3])}{' …' if len(missing) > 3 else ''}"
        )


def _set_dilations(stage: nn.Module, pattern: Sequence[int]) -> None:
    """Give the 3x3 convolutions of a stage's blocks these dilations, and paddings that keep the size."""
    for number, block in enumerate(stage.children()):
        dilation = pattern[min(number, len(pattern) - 1)]
        for part in block.modules():
            if isinstance(part, nn.Conv2d) and part.kernel_size == (3, 3):
                part.dilation = part.padding = (dilation, dilation)


def _dilate_densenet(net: nn.Module, output_stride: int) -> None:
    """Leave out the pooling of the transitions past ``output_stride`` and dilate the dense blocks that follow."""
    stride, dilation = 4, 1
    for number in (1, 2, 3):
        stride *= 2
        if stride <= output_stride:
            continue
        dilation *= 2
        getattr(net, f"features_transition{number}").pool = nn.Identity()
        _set_dilations(getattr(net, f"features_denseblock{number + 1}"), (dilation,))
