"""Encoders: the backbones of timm as feature pyramids, dilated as the segmentation papers have them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spine_ignite.errors import RunError, UsageError
from spine_ignite.nn.timm_import import import_timm

# Dilations of the 3x3 convolutions, block by block, of a residual network's stages 3 and 4 at output stride 8; the last
# number holds for all further blocks. PSPNet, PSANet, CCNet and OCNet dilate every block alike; timm gives the first
# block of a stage the dilation of the stage before (Chen et al. 2017), which is what torchvision and ANN do.
UNIFORM: Mapping[int, Sequence[int]] = {3: (2,), 4: (4,)}


def uniform_dilations(output_stride: int) -> Mapping[int, Sequence[int]] | None:
    """Return :data:`UNIFORM` at output stride 8; coarser encoders keep timm's pattern (``None``)."""
    return UNIFORM if output_stride == 8 else None


def multi_grid_dilations(output_stride: int, factors: Sequence[int]) -> Mapping[int, Sequence[int]] | None:
    """Dilations with a multi-grid in stage 4 (Chen et al. 2017, section 3.1): the stage's own times each factor.

    With factors (1, 2, 4) that is 2, 4, 8 at output stride 16 and 4, 8, 16 at 8. Stride 32 has none (``None``).
    """
    if output_stride == 32:
        return None
    return {4: tuple(factor * 32 // output_stride for factor in factors)}


class Encoder(nn.Module):
    """A network that maps ``(B, in_channels, H, W)`` to a list of feature maps, from fine to coarse.

    Attributes:
        channels: channels of each map.
        strides: input pixels per pixel of each map; a map has ``ceil(H / stride)`` rows, or one less where a stage of
            the backbone rounds down.
    """

    def __init__(self, net: nn.Module, channels: Sequence[int], strides: Sequence[int]) -> None:
        super().__init__()
        self.net = net
        self.channels = tuple(channels)
        self.strides = tuple(strides)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the feature maps ``(B, channels[i], H / strides[i], W / strides[i])``."""
        return list(self.net(x))


def build_encoder(
    name: str,
    in_channels: int,
    *,
    output_stride: int = 32,
    dilations: Mapping[int, Sequence[int]] | None = None,
    pretrained: bool = False,
    weights: str | Path | None = None,
) -> Encoder:
    """Build a backbone of timm as a feature pyramid.

    Args:
        name: timm's name, ``resnet50`` or with a tag of weights, ``resnet50.a1_in1k``.
        in_channels: input channels; weights for three are summed or repeated by timm to fit.
        output_stride: of the last map: 32, or 16 and 8, where strides are replaced by dilations. DenseNets, which timm
            does not dilate, are dilated here (transitions without pooling, as in DenseASPP).
        dilations: for ResNets and their kin (stages ``layer1`` to ``layer4``), the dilations of a stage's blocks, by
            number of the stage; the last number repeats. Stages that are not named keep timm's pattern, in which the
            first block has the dilation of the stage before. Networks of other families ignore it.
        pretrained: fetch timm's weights from its hub.
        weights: load this file of weights (``.safetensors``, ``.pth``), in timm's names, instead.

    Raises:
        UsageError: no such backbone, one without pyramids, one that cannot have this stride, or no such file.
        RunError: weights cannot be fetched or do not fit.
    """
    densenet = name.startswith("densenet")
    stride = {"output_stride": output_stride} if output_stride != 32 and not densenet else {}
    net = create_timm_model(name, in_channels, pretrained, weights, features_only=True, **stride)
    channels, strides = net.feature_info.channels(), net.feature_info.reduction()
    if densenet and output_stride != 32:
        _dilate_densenet(net, output_stride)
        strides = [min(stride, output_stride) for stride in strides]
    if len(set(strides)) < 2 or sorted(strides) != list(strides):
        raise UsageError(f"backbone '{name}' gives no feature pyramid (strides {strides}); choose another")
    if strides[-1] != output_stride:
        raise UsageError(f"backbone '{name}' has output stride {strides[-1]} and cannot have {output_stride}")
    for stage, pattern in (dilations or {}).items():
        if hasattr(net, f"layer{stage}"):
            _set_dilations(getattr(net, f"layer{stage}"), pattern)
    return Encoder(net, channels, strides)


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
    if weights is not None:
        _check_weights(timm, name, Path(weights))
        options["pretrained_cfg_overlay"] = {"file": str(weights)}
        pretrained = True
    try:
        return timm.create_model(name, pretrained=pretrained, in_chans=in_channels, **options)
    except (TypeError, AssertionError, NotImplementedError, AttributeError) as error:
        if pretrained and "output_stride" not in options:
            raise RunError(f"the weights of backbone '{name}' cannot be used: {error}") from error
        stride = options.get("output_stride")
        what = f"output stride {stride}" if stride else "feature pyramids"
        raise UsageError(f"backbone '{name}' is not available with {what}: {error}") from error
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if weights is not None:
            raise RunError(f"{weights} does not hold weights of backbone '{name}': {reason}") from error
        if pretrained:
            raise RunError(
                f"the weights of backbone '{name}' could not be fetched ({reason}); "
                "set model.weights to a file that has them, or model.pretrained to false"
            ) from error
        raise UsageError(f"backbone '{name}' cannot be built: {reason}") from error


def _check_weights(timm: Any, name: str, path: Path) -> None:
    """Refuse a file that lacks weights of the backbone: timm would leave these at random and go on."""
    if not path.is_file():
        raise UsageError(f"weights: {path} is not a file")
    try:
        found = timm.models.load_state_dict(str(path))
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
