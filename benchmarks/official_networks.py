"""How each official network is built from a checkout of its repository, and what stands in for what it needs besides.

Most were written for a torch of long ago, with norms in CUDA that are batch norms in what they compute, and weights
that they fetch.
"""

from __future__ import annotations

import copy
import functools
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import model_zoo

from spine_ignite.models import create_model

CLASSES = 5


@dataclass(frozen=True)
class Network:
    """Where an official network is found.

    Args:
        repository: on GitHub.
        build: makes the arguments of a ``Pair`` from the folder and an output stride.
        strides: output strides that the code has; 0: none to choose.
    """

    repository: str
    build: Callable[[Path, int], dict[str, Any]]
    strides: tuple[int, ...] = (0,)


@contextmanager
def without_weights() -> Iterator[None]:
    """Let networks be built that fetch or read weights as they are built: they keep random ones."""
    nothing = mock.Mock(return_value={})
    with ExitStack() as stack:
        for target, name in ((model_zoo, "load_url"), (torch, "load"), (torch.hub, "load_state_dict_from_url")):
            stack.enter_context(mock.patch.object(target, name, nothing))
        stack.enter_context(mock.patch.object(nn.Module, "load_state_dict"))
        yield


def stand_in(name: str, path: Path | None = None, **content: Any) -> types.ModuleType:
    """Put a module in the place of one that is not there; with a path, a package whose own start is left out."""
    module = types.ModuleType(name)
    module.__dict__.update(content)
    if path is not None:
        module.__path__ = [str(path)]
    sys.modules[name] = module
    return module


def from_file(path: Path) -> Any:
    """Import a file that is no part of a package."""
    spec = importlib.util.spec_from_file_location(path.stem.replace("+", ""), path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} is not there")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class InPlaceABN(nn.BatchNorm2d):
    """Batch norm, and by default leaky ReLU."""

    def __init__(self, channels: int, activation: str = "leaky_relu", affine: bool = True) -> None:
        super().__init__(channels, affine=affine)
        self.activation = activation

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that nn.BatchNorm2d gives it
        """Normalise ``(B, C, H, W)``."""
        out = super().forward(input)
        return F.leaky_relu(out, 0.01) if self.activation == "leaky_relu" else out


def plain_pool(net: nn.Module) -> nn.Module:
    """Let the stem's pooling round down, as ours does: see the plugins' READMEs."""
    net.get_submodule("maxpool").ceil_mode = False  # type: ignore[assignment]
    return net


def main_and_rest(net: Any, image: Tensor) -> list[Tensor]:
    """Outputs of networks that give the auxiliary logits first."""
    return list(net(image))[::-1]


def ocnet(context: str, code: Path, _: int) -> dict[str, Any]:
    for folder in ("network", "oc_module", "utils"):
        sys.path.insert(0, str(code / folder))
    stand_in("bn", InPlaceABNSync=InPlaceABN)
    with mock.patch.object(torch, "__version__", "0.4.1"):
        module = importlib.import_module(f"resnet101_{context}_oc")
    theirs = getattr(module, f"get_resnet101_{context}_oc_dsn")(CLASSES)
    ours = create_model("ocnet", 3, CLASSES, context=context)
    return {
        "theirs": plain_pool(theirs),
        "ours": ours,
        "outputs": main_and_rest,
        "scopes": [("dsn", "aux_head"), ("context.2.stages.0.f_value", "head.context.value")],
        "twice": ("transform.1",),
    }


def emanet(_: Path, stride: int) -> dict[str, Any]:
    stand_in("bn_lib"), stand_in("bn_lib.nn")
    stand_in("bn_lib.nn.modules", SynchronizedBatchNorm2d=nn.BatchNorm2d)
    module: Any = importlib.import_module("network")
    module.settings.STRIDE = stride
    named = [
        ("emau.conv1", "head.attention.before", None),
        ("emau.conv2.0", "head.attention.after.0", None),
        ("emau.mu", "head.attention.bases", None),
    ]
    return {
        "theirs": module.EMANet(CLASSES, 101),
        "ours": create_model("emanet", 3, CLASSES, output_stride=stride),
        "outputs": lambda net, image: [net(image)],
        "named": named,
    }


class Settings:
    """Stands for a configuration of the ANN repository."""

    def __init__(self, backbone: str) -> None:
        self.values = {"num_classes": CLASSES, "norm_type": "batchnorm", "backbone": backbone, "pretrained": None}

    def get(self, *keys: str) -> Any:
        """Return a value."""
        return self.values[keys[-1]]

    def exists(self, *keys: str) -> bool:
        """Whether there is such a value."""
        return keys[-1] in self.values


def ann(_: Path, stride: int) -> dict[str, Any]:
    module: Any = importlib.import_module("models.seg.nets.annn")
    backbone = "deepbase_resnet101" + (f"_dilated{stride}" if stride < 32 else "")
    theirs = module.asymmetric_non_local_network(Settings(backbone))
    plain_pool(theirs.backbone)
    ours = create_model("ann", 3, CLASSES, output_stride=stride)
    scopes = [
        ("dsn", "aux_head"),
        ("fusion.stages.0.f_value", "head.fuse.value"),
        ("context.2.stages.0.f_value", "head.pyramid.value"),
    ]
    twice = ("transform.1",)
    return {"theirs": theirs, "ours": ours, "outputs": main_and_rest, "scopes": scopes, "twice": twice}


def deeplabv3plus(_: Path, stride: int) -> dict[str, Any]:
    module: Any = importlib.import_module("modeling.deeplab")
    theirs = module.DeepLab("resnet", stride, CLASSES, sync_bn=False)
    ours = create_model("deeplabv3plus", 3, CLASSES, output_stride=stride)
    scopes = [("aspp.global_avg_pool", "head.aspp.image")]
    return {"theirs": theirs, "ours": ours, "outputs": lambda net, image: [net(image)], "scopes": scopes}


def deeplabv3(code: Path, stride: int) -> dict[str, Any]:
    """The port has v3+ alone; its encoder and pyramid, with a classifier, are v3."""
    theirs = deeplabv3plus(code, stride)["theirs"]
    theirs.decoder = nn.Conv2d(256, CLASSES, 1)
    ours = create_model("deeplabv3", 3, CLASSES, output_stride=stride)
    return {
        "theirs": theirs,
        "ours": ours,
        "outputs": lambda net, image: [net.decoder(net.aspp(net.backbone(image)[0]))],
        "scopes": [("aspp.global_avg_pool", "head.aspp.image")],
    }


def denseaspp(code: Path, stride: int) -> dict[str, Any]:
    module: Any = importlib.import_module("models.DenseASPP")
    named = nn.Module.add_module
    with mock.patch.object(nn.Module, "add_module", lambda self, name, part: named(self, name.replace(".", "_"), part)):
        theirs = module.DenseASPP(from_file(code / "cfgs" / "DenseASPP169.py").Model_CFG, CLASSES, stride)
    theirs.classification[2] = nn.Identity()  # enlarges by 8, which is the image's size for multiples of 8 alone
    for part in theirs.modules():
        if isinstance(part, nn.Upsample):
            part.align_corners = True  # what torch 0.3 did
    ours = create_model("denseaspp", 3, CLASSES, output_stride=stride)
    return {"theirs": theirs, "ours": ours, "outputs": lambda net, image: [net(image)]}


def semseg(name: str, code: Path, _: int) -> dict[str, Any]:
    stand_in("lib", code / "lib"), stand_in("lib.psa", code / "lib" / "psa")
    stand_in("lib.psa.functional", psa_mask=psa_mask)
    module: Any = importlib.import_module(f"model.{name}")
    seen: list[Tensor] = []

    def criterion(logits: Tensor, _: object) -> Tensor:
        seen.append(logits)
        return logits.sum()

    options: dict[str, Any] = {"layers": 50, "classes": CLASSES, "pretrained": False, "criterion": criterion}
    extra: dict[str, Any] = {"backbone": "resnet50s"}
    if name == "psanet":
        options |= {"mask_h": 13, "mask_w": 13}
        extra["crop"] = 97
    theirs = getattr(module, {"pspnet": "PSPNet", "psanet": "PSANet"}[name])(**options)

    def outputs(net: Any, image: Tensor) -> list[Tensor]:
        if not net.training:
            return [net(image)]
        seen.clear()
        net(image, image)
        return list(seen)

    named: list[tuple[str, str, None]] = []
    scopes: list[tuple[str, str]] = []
    if name == "psanet":
        for ending, branch in (("_p", "distribute"), ("", "collect")):
            ours_name = f"head.attention.branches.{branch}"
            named.append((f"psa.attention{ending}.3", f"{ours_name}.predict.1", None))
            scopes += [
                (f"psa.reduce{ending}", f"{ours_name}.reduce"),
                (f"psa.attention{ending}", f"{ours_name}.predict"),
            ]
    ours = create_model(name, 3, CLASSES, **extra)
    sizes = ((65, 97), (81, 49) if name == "psanet" else (64, 96))  # PSANet takes 16 n + 1 alone
    parts = {"named": named, "scopes": scopes}
    return {"theirs": theirs, "ours": ours, "outputs": outputs, "sizes": sizes, **parts}


def psa_mask(masks: Tensor, kind: int, rows: int, columns: int) -> Tensor:
    """What the C++ of semseg computes, one pair of positions after the other: 0 collects, 1 distributes."""
    batch, _, height, width = masks.shape
    pairs = masks.new_zeros(batch, height * width, height, width)
    for h in range(height):
        for w in range(width):
            for i in range(max(0, rows // 2 - h), min(rows, height + rows // 2 - h)):
                for j in range(max(0, columns // 2 - w), min(columns, width + columns // 2 - w)):
                    y, x = i + h - rows // 2, j + w - columns // 2
                    value = masks[:, i * columns + j, h, w]
                    if kind == 0:
                        pairs[:, y * width + x, h, w] = value
                    else:
                        pairs[:, h * width + w, y, x] = value
    return pairs


def ccnet(code: Path, _: int) -> dict[str, Any]:
    stand_in("inplace_abn", InPlaceABN=InPlaceABN, InPlaceABNSync=InPlaceABN)
    module: Any = importlib.import_module("networks.ccnet")
    theirs = plain_pool(module.Seg_Model(CLASSES, recurrence=2))
    theirs.head.cca.INF = minus_infinity  # theirs is on the GPU
    return {
        "theirs": theirs,
        "ours": create_model("ccnet", 3, CLASSES),
        "outputs": lambda net, image: list(net(image)),
        "scopes": [("dsn", "aux_head")],
    }


def minus_infinity(batch: int, height: int, width: int) -> Tensor:
    """Diagonals of minus infinity, so that a pixel is not met twice."""
    return torch.zeros(height, height).fill_diagonal_(-torch.inf).repeat(batch * width, 1, 1).double()


def danet(code: Path, stride: int) -> dict[str, Any]:
    root = code / "encoding"
    stand_in("encoding", root)
    stand_in("encoding.nn", root / "nn", **dict.fromkeys(("SplAtConv2d", "DropBlock2D", "RFConv2d")),
             GlobalAvgPool2d=nn.Identity)  # fmt: skip
    attention = importlib.import_module("encoding.nn.da_att")
    sys.modules["encoding.nn"].__dict__.update(PAM_Module=attention.PAM_Module, CAM_Module=attention.CAM_Module)
    stand_in("encoding.utils", batch_pix_accuracy=None, batch_intersection_union=None)
    stand_in("encoding.models", root / "models")
    stand_in("encoding.models.model_store", get_model_file=lambda *_, **__: "")
    backbones = stand_in("encoding.models.backbone", root / "models" / "backbone")
    resnet = importlib.import_module("encoding.models.backbone.resnet")
    names = "resnest50 resnest101 resnest200 resnest269 resnet50s resnet101s resnet152s resnet50d resnext50_32x4d "
    names += "resnext101_32x8d xception65 wideresnet38 wideresnet50"
    backbones.__dict__.update(dict.fromkeys(names.split()))
    backbones.__dict__.update(resnet50=resnet.resnet50, resnet101=resnet.resnet101, resnet152=resnet.resnet152)
    stand_in("encoding.models.sseg", root / "models" / "sseg")
    module: Any = importlib.import_module("encoding.models.sseg.danet")
    flags: dict[str, Any] = {"dilated": False, "os": stride, "no_deepstem": True}
    if stride == 8:
        flags |= {"multi_grid": True, "multi_dilation": [4, 8, 16]}
    theirs = module.DANet(CLASSES, "resnet101", norm_layer=nn.BatchNorm2d, **flags)
    return {
        "theirs": theirs,
        "ours": create_model("danet", 3, CLASSES, output_stride=stride),
        "outputs": lambda net, image: list(net(image)),
        "scopes": [("head.conv8", "classify.sum")],
    }


def last_first(net: Any, image: Tensor) -> list[Tensor]:
    """Outputs of the networks with reverse attention: the fourth map is the prediction; an edge map comes last."""
    first, second, third, fourth, *edge = net(image)
    return [fourth, first, second, third, *edge]


BINARY = {"outputs": last_first, "sizes": ((64, 96), (128, 96)), "align_corners": False}


def pranet(_: Path, __: int) -> dict[str, Any]:
    from spine_ignite_pranet.model import PraNet

    module: Any = importlib.import_module("lib.PraNet_Res2Net")
    return {"theirs": module.PraNet(), "ours": PraNet(3, 1, "classwise"), **BINARY}


def infnet(_: Path, __: int) -> dict[str, Any]:
    from spine_ignite_infnet.model import InfNet

    module: Any = importlib.import_module("Code.model_lung_infection.InfNet_Res2Net")
    scopes = [("edge_conv4", "classify_edge"), ("edge_conv", "edge")]
    return {"theirs": module.Inf_Net(), "ours": InfNet(3, 1, "classwise"), "scopes": scopes, **BINARY}


def caranet(_: Path, __: int) -> dict[str, Any]:
    from spine_ignite_caranet.model import CaraNet

    module: Any = importlib.import_module("CaraNet")

    def outputs(net: Any, image: Tensor) -> list[Tensor]:
        last, *others = net(image)
        return [last, *others[::-1]]

    ours = CaraNet(3, 1, "classwise", "release")
    return {"theirs": module.caranet(), "ours": ours, **BINARY, "outputs": outputs}


def bisenetv2(code: Path, _: int) -> dict[str, Any]:
    module = from_file(code / "lib" / "models" / "bisenetv2.py")
    ours = create_model("bisenetv2", 3, CLASSES, design="port").network
    return {
        "theirs": module.BiSeNetV2(CLASSES),
        "ours": ours,
        "outputs": lambda net, image: list(net(image)),
        "scopes": [
            ("detail", "detail"),
            ("bga.left2", "aggregate.detail_coarse"),
            ("bga", "aggregate"),
            ("aux", "boosters"),
        ],
        "sizes": ((64, 96), (128, 96)),
        "align_corners": False,
    }


def espnet(code: Path, _: int) -> dict[str, Any]:
    theirs = from_file(code / "train" / "Model.py").ESPNet(CLASSES, 2, 8)
    ours = create_model("espnet", 3, CLASSES).network
    return {"theirs": theirs, "ours": ours, "outputs": lambda net, image: [net(image)], "sizes": ((64, 96), (72, 88))}


def resunetpp(code: Path, _: int) -> dict[str, Any]:
    from spine_ignite_resunetpp.model import ResUNetPlusPlus

    theirs = from_file(code / "resunet++_pytorch.py").build_resunetplusplus()
    outputs = lambda net, image: [net(image)]  # noqa: E731
    return {"theirs": theirs, "ours": ResUNetPlusPlus(3, 1), "outputs": outputs, "sizes": ((64, 96), (72, 88))}


class DecodeHead(nn.Module):
    """What SegFormer's head takes from mmsegmentation."""

    def __init__(self, in_channels: list[int], num_classes: int, **_: Any) -> None:
        super().__init__()
        self.in_channels, self.num_classes, self.dropout = in_channels, num_classes, nn.Dropout2d(0.0)

    def _transform_inputs(self, inputs: Any) -> Any:
        return inputs


def conv_module(in_channels: int, out_channels: int, kernel_size: int, norm_cfg: Any) -> nn.Module:
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


def segformer(code: Path, _: int) -> dict[str, Any]:
    from timm import layers

    registry = types.SimpleNamespace(register_module=lambda: lambda cls: cls)
    models = code / "mmseg" / "models"
    stand_in("timm.models.layers", DropPath=layers.DropPath, to_2tuple=layers.to_2tuple,
             trunc_normal_=layers.trunc_normal_)  # fmt: skip
    stand_in("timm.models.registry", register_model=lambda f: f)
    stand_in("mmseg", code / "mmseg"), stand_in("mmseg.models", models)
    stand_in("mmseg.models.builder", BACKBONES=registry, HEADS=registry)
    stand_in("mmseg.models.backbones", models / "backbones"), stand_in("mmseg.models.utils")
    stand_in("mmseg.models.decode_heads", models / "decode_heads")
    stand_in("mmseg.models.decode_heads.decode_head", BaseDecodeHead=DecodeHead)
    stand_in("mmseg.utils", get_root_logger=None), stand_in("mmseg.ops", resize=F.interpolate)
    stand_in("mmcv"), stand_in("mmcv.runner", load_checkpoint=None), stand_in("attr"), stand_in("IPython", embed=None)
    stand_in("mmcv.cnn", ConvModule=conv_module, DepthwiseSeparableConvModule=None)
    encoder: Any = importlib.import_module("mmseg.models.backbones.mix_transformer")
    head: Any = importlib.import_module("mmseg.models.decode_heads.segformer_head")

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = encoder.mit_b2(drop_path_rate=0.0)
            options = {"decoder_params": {"embed_dim": 768}}
            self.head = head.SegFormerHead([4, 8, 16, 32], in_channels=[64, 128, 320, 512], num_classes=CLASSES,
                                           **options)  # fmt: skip

        def forward(self, x: Tensor) -> Any:
            return self.head(self.backbone(x))

    ours = create_model("segformer", 3, CLASSES, variant="b2", drop_path=0)
    outputs = lambda net, image: [net(image)]  # noqa: E731
    return {"theirs": Whole(), "ours": ours, "outputs": outputs, "align_corners": False}


def gcn(code: Path, _: int) -> dict[str, Any]:
    """The port was written for Python 2, where half of an integer is one."""
    stand_in("port", code), stand_in("port.utils", initialize_weights=lambda *_: None)
    stand_in("port.models", code / "models")
    module: Any = importlib.import_module("port.models.gcn")

    def conv(*args: Any, padding: Any = 0, **options: Any) -> nn.Module:
        whole = padding if isinstance(padding, int) else tuple(int(size) for size in padding)
        return nn.Conv2d(*args, padding=whole, **options)

    stood_in = types.SimpleNamespace(**{**vars(nn), "Conv2d": conv})
    with mock.patch.object(module, "nn", stood_in):
        theirs = module.GCN(CLASSES, None, pretrained=False)

    def outputs(net: Any, image: Tensor) -> list[Tensor]:
        net.input_size = tuple(image.shape[-2:])
        return [net(image)]

    ours = create_model("gcn", 3, CLASSES, kernel=7, upsampling="bilinear")
    scopes = [(f"{start}{4 - level}", f"score.{level}.{part}")
              for level in range(4) for part, start in enumerate(("gcm", "brm"))]  # fmt: skip
    return {"theirs": theirs, "ours": ours, "outputs": outputs, "scopes": scopes}


def transunet(code: Path, _: int) -> dict[str, Any]:
    """All behind the ResNet, which has other constants and another padding here (see the plugin's README)."""
    stand_in("networks", code / "networks")
    stand_in("ml_collections", ConfigDict=type("ConfigDict", (dict,), {
        "__getattr__": dict.__getitem__, "__setattr__": dict.__setitem__}))  # fmt: skip
    configs: Any = importlib.import_module("networks.vit_seg_configs")
    module: Any = importlib.import_module("networks.vit_seg_modeling")
    settings = configs.get_r50_b16_config()
    side = 6
    settings.n_classes, settings.n_skip, settings.patches.grid = CLASSES, 3, (side, side)
    settings.transformer["num_layers"] = 3
    theirs = module.VisionTransformer(settings, 16 * side, CLASSES)
    ours: Any = create_model("transunet", 3, CLASSES, layers=3).network
    ours.encoder.position = nn.Parameter(torch.zeros(1, side * side, 768))  # theirs is made for one size
    theirs.transformer.embeddings.hybrid_model = SharedResNet(copy.deepcopy(ours.encoder))
    named: list[tuple[str, str, int | None]] = [
        ("transformer.embeddings.position_embeddings", "encoder.position", None)
    ]
    for layer in range(3):
        ours_name = f"encoder.blocks.{layer}.attn.qkv"
        their_name = f"transformer.encoder.layer.{layer}.attn"
        named += [(f"{their_name}.{key}", ours_name, part) for part, key in enumerate(("query", "key", "value"))]
    return {
        "theirs": theirs,
        "ours": ours,
        "outputs": lambda net, image: [net(image)],
        "named": named,
        "sizes": ((16 * side, 16 * side),),
    }


class SharedResNet(nn.Module):
    """Our ResNet in the place of theirs."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.stem, self.pool, self.stages = encoder.stem, encoder.pool, encoder.stages

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Give the last features, and those before them from coarse to fine."""
        found = [self.stem(x)]
        x = self.pool(found[0])
        for stage in self.stages:
            x = stage(x)
            found.append(x)
        return found.pop(), found[::-1]


NETWORKS = {
    **{f"ocnet-{kind}": Network("openseg-group/OCNet.pytorch", functools.partial(ocnet, kind), (8,))
       for kind in ("base", "asp", "pyramid")},
    "emanet": Network("XiaLiPKU/EMANet", emanet, (8, 16)),
    "ann": Network("MendelXu/ANN", ann, (8, 16, 32)),
    "deeplabv3": Network("jfzhang95/pytorch-deeplab-xception", deeplabv3, (8, 16)),
    "deeplabv3plus": Network("jfzhang95/pytorch-deeplab-xception", deeplabv3plus, (8, 16)),
    "denseaspp": Network("DeepMotionAIResearch/DenseASPP", denseaspp, (8, 16)),
    "pspnet": Network("hszhao/semseg", functools.partial(semseg, "pspnet"), (8,)),
    "psanet": Network("hszhao/semseg", functools.partial(semseg, "psanet"), (8,)),
    "ccnet": Network("speedinghzl/CCNet", ccnet, (8,)),
    "danet": Network("junfu1115/DANet", danet, (8, 32)),
    "pranet": Network("DengPingFan/PraNet", pranet),
    "infnet": Network("DengPingFan/Inf-Net", infnet),
    "caranet": Network("AngeLouCN/CaraNet", caranet),
    "bisenetv2": Network("CoinCheung/BiSeNet", bisenetv2),
    "espnet": Network("sacmehta/ESPNet", espnet),
    "resunetpp": Network("DebeshJha/ResUNetPlusPlus", resunetpp),
    "segformer": Network("NVlabs/SegFormer", segformer),
    "gcn": Network("zijundeng/pytorch-semantic-segmentation", gcn),
    "transunet": Network("Beckschen/TransUNet", transunet),
}  # fmt: skip
