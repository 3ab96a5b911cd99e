"""The settings in configs/models: that each can be used, and that each says what its source does.

``PUBLISHED`` is typed from the sources once more: the release's file, or the paper where there is none. Rates are those
of the source: of the encoder and of all else where it has two.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from spine_ignite.config import load_config
from spine_ignite.config.components import require_components
from spine_ignite.losses.criterion import create_loss
from spine_ignite.models import create_model
from spine_ignite.registry import load_registry
from spine_ignite.training.optimizers import create_optimizer
from spine_ignite.training.schedule import rate

FOLDER = Path(__file__).parents[2] / "configs" / "models"
PATHS = sorted(FOLDER.glob("*.yaml"))


@dataclass(frozen=True)
class Published:
    """What a source says of a training.

    ``curve`` is the course of the rate as (share of training, factor); ``decays`` which parameters decay: all, or the
    kernels alone.
    """

    source: str
    batch: int
    optimizer: str
    rate: float
    decay: float = 0.0
    decays: str = "kernels"
    head_rate: float | None = None
    bias_rate: float | None = None
    momentum: float | None = None
    curve: tuple[tuple[float, float], ...] = ((0.0, 1.0), (0.99, 1.0))
    loss: str = "ce"
    loss_options: dict[str, Any] = field(default_factory=dict)
    clip_value: float | None = None
    model: dict[str, Any] = field(default_factory=dict)


POLY = ((0.0, 1.0), (0.25, 0.75**0.9), (0.5, 0.5**0.9))
ANN = "MendelXu/ANN f4eabeb, hypes/seg/cityscapes/fs_annn_cityscapes_seg.json"
TRANSUNET_DICE = {
    "ce_weight": 0.5,
    "dice_weight": 0.5,
    "squared": True,
    "include_background": True,
    "skip_absent": False,
}
PUBLISHED = {
    "ann": Published(ANN, 8, "sgd", 0.01, 5e-4, "all", momentum=0.9, curve=POLY),
    "bisenetv2": Published("Yu et al. 2021, section 5", 16, "sgd", 0.05, 5e-4, momentum=0.9, curve=((0.0067, 1.0),)),
    "caranet": Published("AngeLouCN/CaraNet 052ed72, Train.py", 6, "adam", 1e-4, loss="structure", clip_value=0.5),
    "ccnet": Published("speedinghzl/CCNet 1fae6c6, README.md", 8, "sgd", 0.01, 1e-4, "all", momentum=0.9, curve=POLY),
    "danet": Published(
        "junfu1115/DANet 97f0c42, README.md, danet/train.py",
        8,
        "sgd",
        0.003,
        1e-4,
        "all",
        head_rate=0.03,
        momentum=0.9,
        curve=POLY,
        model={"backbone": "resnet101", "output_stride": 8, "multi_grid": (1, 2, 4)},
    ),
    "deeplabv3": Published(
        "Chen et al. 2017, section 4; tensorflow/models, research/deeplab/train.py",
        16,
        "sgd",
        0.007,
        1e-4,
        momentum=0.9,
        curve=POLY,
        model={"output_stride": 16},
    ),
    "deeplabv3plus": Published(
        "Chen et al. 2018, section 4; tensorflow/models, research/deeplab/train.py",
        16,
        "sgd",
        0.007,
        1e-4,
        momentum=0.9,
        curve=POLY,
        model={"output_stride": 16},
    ),
    "denseaspp": Published("Yang et al. 2018, section 4", 8, "adam", 3e-4, 1e-5, "all", curve=POLY),
    "emanet": Published(
        "XiaLiPKU/EMANet f09ffac, settings.py, train.py",
        16,
        "sgd",
        0.009,
        1e-4,
        bias_rate=0.018,
        momentum=0.9,
        curve=POLY,
        model={"backbone": "resnet101s", "output_stride": 8, "momentum": 0.9, "rounds": 3},
    ),
    "enet": Published("e-lab/ENet-training f762144, train/opts.lua, train/train.lua", 10, "adam", 5e-4, 2e-4, "all"),
    "espnet": Published(
        "sacmehta/ESPNet afe71c3, train/main.py",
        6,
        "adam",
        5e-4,
        5e-4,
        "all",
        curve=((99 / 300, 1.0), (100 / 300, 0.5), (199 / 300, 0.5), (200 / 300, 0.25), (299 / 300, 0.25)),
    ),
    "fcn": Published(  # of a loss that is summed over 500 x 500 pixels
        "shelhamer/fcn.berkeleyvision.org 1305c73, voc-fcn8s-atonce/solver.prototxt",
        1,
        "sgd",
        1e-10 * 500 * 500,
        5e-4 / (500 * 500),
        bias_rate=2e-10 * 500 * 500,
        momentum=0.99,
    ),
    "gcn": Published("Peng et al. 2017, section 4; the rate is ours", 1, "sgd", 0.001, 5e-4, momentum=0.99),
    "gff": Published(
        "Li et al. 2020; lxtGH/DecoupleSegNets bedb8e5, optimizer.py",
        8,
        "sgd",
        0.01,
        5e-4,
        "all",
        momentum=0.9,
        curve=POLY,
    ),
    "infnet": Published(
        "DengPingFan/Inf-Net d4dd1e8, MyTrain_LungInf.py",
        24,
        "adam",
        1e-4,
        curve=((0.0, 1.0), (0.49, 1.0), (0.5, 0.1), (0.99, 0.1)),
        loss="structure",
        clip_value=0.5,
    ),
    "ocnet": Published(
        "openseg-group/OCNet.pytorch 679a45b, run_resnet101_base_oc.sh",
        8,
        "sgd",
        0.01,
        5e-4,
        "all",
        momentum=0.9,
        curve=POLY,
    ),
    "pranet": Published("DengPingFan/PraNet 95f12bd, MyTrain.py", 16, "adam", 1e-4, loss="structure", clip_value=0.5),
    "psanet": Published(
        "hszhao/semseg 4f274c3, config/ade20k/ade20k_psanet50.yaml, tool/train.py",
        16,
        "sgd",
        0.01,
        1e-4,
        "all",
        head_rate=0.1,
        momentum=0.9,
        curve=POLY,
    ),
    "pspnet": Published(
        "hszhao/semseg 4f274c3, config/ade20k/ade20k_pspnet50.yaml, tool/train.py",
        16,
        "sgd",
        0.01,
        1e-4,
        "all",
        head_rate=0.1,
        momentum=0.9,
        curve=POLY,
    ),
    "resunet": Published(
        "Zhang et al. 2018, section III",
        8,
        "sgd",
        0.001,
        curve=((0.0, 1.0), (19 / 50, 1.0), (20 / 50, 0.1), (39 / 50, 0.1), (40 / 50, 0.01)),
    ),
    "resunetpp": Published(
        "DebeshJha/ResUNetPlusPlus f07b906, run.py, metrics.py",
        8,
        "nadam",
        1e-4,
        loss="dice",
        loss_options={"smooth": 1.0},
    ),
    "segformer": Published(
        "NVlabs/SegFormer 65fa8cf, local_configs/segformer/B0/segformer.b0.512x512.ade.160k.py",
        16,
        "adamw",
        6e-5,
        0.01,
        head_rate=6e-4,
        curve=((750 / 160000, 0.5), (0.5, 0.505)),
    ),
    "segnet": Published(
        "Badrinarayanan et al. 2017, section 3.3; alexgkendall/SegNet-Tutorial bb68b64, Models/segnet_solver.prototxt",
        12,
        "sgd",
        0.1,
        5e-4,
        momentum=0.9,
    ),
    "transunet": Published(
        "Beckschen/TransUNet 02ef001, train.py, trainer.py, utils.py",
        24,
        "sgd",
        0.01,
        1e-4,
        "all",
        momentum=0.9,
        curve=POLY,
        loss="dice_ce",
        loss_options=TRANSUNET_DICE,
    ),
    "unet": Published(
        "Ronneberger et al. 2015, section 3; the rate is ours",
        1,
        "sgd",
        0.001,
        momentum=0.99,
        model={"width": 64, "depth": 5, "max_width": 1024, "norm": "none", "dropout": 0.5},
    ),
    "unetpp": Published(  # L2 of 1e-4 in Keras adds 1e-4 times the squares, whose derivative is 2e-4 times the weight
        "Zhou et al. 2020, section IV; MrGiovanni/UNetPlusPlus 2659ddc, keras/helper_functions.py",
        8,
        "adam",
        3e-4,
        2e-4,
        loss="dice_ce",
        loss_options={"ce_weight": 0.5, "dice_weight": 1.0, "smooth": 1.0, "skip_absent": False},
        model={"width": 32, "depth": 5, "norm": "none", "dropout": 0.5, "deep_supervision": True},
    ),
}


def test_every_architecture_has_its_settings() -> None:
    first_party = {
        item.value.name for item in load_registry().models() if item.distribution.name.startswith("spine-ignite-")
    }
    assert {path.stem for path in PATHS} == first_party == PUBLISHED.keys()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_file_says_what_was_published(path: Path) -> None:
    config, truth = load_config(path, []), PUBLISHED[path.stem]
    assert config.model.name == path.stem
    options = load_registry().resolve_options(config.model.name, config.model.options).model_dump()
    assert {key: options[key] for key in truth.model} == truth.model
    assert config.data.batch_size == truth.batch
    assert config.optimizer.name == truth.optimizer
    if truth.momentum is not None:
        assert (config.optimizer.momentum, config.optimizer.nesterov) == (truth.momentum, False)
    assert (config.loss.name, config.loss.options) == (truth.loss, truth.loss_options)
    assert (config.train.clip_norm, config.train.clip_value) == (None, truth.clip_value)
    for share, factor in truth.curve:
        assert rate(config.schedule, share) == pytest.approx(factor, rel=0.01)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_parameter_has_the_published_rate_and_decay(path: Path) -> None:
    """The whole network and its optimizer are built, without memory for the weights."""
    config, truth = load_config(path, []), PUBLISHED[path.stem]
    require_components(config)
    with torch.device("meta"):
        network = create_model(config.model.name, 1, 4, **config.model.options)
    create_loss(config.loss, 4)
    found = {
        id(p): (group["lr"], group["weight_decay"])
        for group in create_optimizer(network, config.optimizer).param_groups
        for p in group["params"]
    }
    trained = {name: p for name, p in network.named_parameters() if p.requires_grad}
    assert len(found) == len(trained)
    for name, parameter in trained.items():
        expected = truth.rate
        if truth.head_rate is not None and not name.startswith("encoder."):
            expected = truth.head_rate
        if truth.bias_rate is not None and name.endswith("bias"):
            expected = truth.bias_rate
        decays = truth.decays == "all" or parameter.ndim > 1
        assert found[id(parameter)] == pytest.approx((expected, truth.decay if decays else 0.0)), name


def dice(p: Tensor, g: Tensor, added: float, squared: bool) -> Tensor:
    """Of one structure, over the whole batch."""
    below = p.square() + g.square() if squared else p + g
    return 1 - (2 * (p * g).sum() + added) / (below.sum() + added)


def test_the_loss_of_transunet_counts_background_and_absent_classes_with_squares() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, 5, 16, 12, generator=generator)
    label = torch.randint(0, 4, (3, 16, 12), generator=generator)  # the last class is absent
    p = logits.double().softmax(1)
    of_classes = [dice(p[:, k], (label == k).double(), 1e-5, squared=True) for k in range(5)]
    truth = 0.5 * -p.gather(1, label[:, None]).log().mean() + 0.5 * torch.stack(of_classes).mean()
    loss = create_loss(load_config(FOLDER / "transunet.yaml").loss, 5)
    assert float(loss(logits, label.to(torch.uint8)).total) == pytest.approx(float(truth), rel=1e-5)


def test_the_loss_of_unetpp_is_binary_for_two_classes() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, 2, 16, 12, generator=generator)
    label = torch.randint(0, 2, (3, 16, 12), generator=generator)
    p, g = torch.sigmoid(logits[:, 1] - logits[:, 0]).double(), label.double()
    truth = 0.5 * -(g * p.log() + (1 - g) * (1 - p).log()).mean() + dice(p, g, 1.0, squared=False)
    loss = create_loss(load_config(FOLDER / "unetpp.yaml").loss, 2)
    assert float(loss(logits, label.to(torch.uint8)).total) == pytest.approx(float(truth), rel=1e-5)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_file_and_the_page_name_the_source(path: Path) -> None:
    text = " ".join(line.removeprefix("#").strip() for line in path.read_text().splitlines() if line.startswith("#"))
    page = (Path(__file__).parents[2] / "docs" / "published-settings.md").read_text()
    for part in PUBLISHED[path.stem].source.split("; "):
        origin = part.partition(", ")[0]
        if "is ours" not in origin:
            assert origin in text
            assert origin in page
    assert f"| {path.stem} |" in page
