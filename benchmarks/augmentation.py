"""Augmentation of a slice and its label, on one thread, side by side with other tools.

    python benchmarks/augmentation.py --out augmentation.json

Each set of transforms runs in turn with every tool, round after round in one process, so that a busy machine slows all
of them; the ratio is the median of the rounds' ratios. nnU-Net's transforms (batchgeneratorsv2) and kornia come from
the peers' environment (``peers.py``). A tool that cannot be imported is left out and named.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peers
import SimpleITK
import torch
import torchio
from rich.console import Console
from rich.table import Table
from torch import Tensor

from spine_ignite.batches.augment.augmenter import BatchAugmenter
from spine_ignite.batches.augment.intensity import moments
from spine_ignite.config import AugmentConfig

BATCH = 8
CLASSES = 20
OURS = "spine-ignite"
Step = Callable[[int], None]  # augments one batch; the argument numbers the batches

OFF: dict[str, Any] = {name: {"p": 0.0} for name in AugmentConfig.model_fields if name not in ("enabled", "torchio")}
ROTATE = {"degrees": (-10, 10), "scale": (0.9, 1.1), "shear": (0, 0), "shift_rows": (0, 0), "shift_columns": (0, 0)}

SETS: dict[str, dict[str, Any]] = {
    "this program's defaults": {},
    # nnUNetTrainer's transforms and rates. Its rotation and zoom (0.2 each), brightness and contrast (0.15 each) and
    # two gammas (0.1 and 0.3) are one transform here; its blur and low resolution hit half of the channels.
    "nnU-Net's set": OFF
    | {
        "flip": {"p": 0.5, "head_to_foot": 0.5},
        "affine": {"p": 0.36, **ROTATE, "degrees": (-180, 180), "scale": (0.7, 1.4)},
        "noise": {"p": 0.1, "std": (0, math.sqrt(0.1))},
        "blur": {"p": 0.1, "sigma": (0.5, 1.0)},
        "contrast": {"p": 0.2775, "contrast": (0.75, 1.25), "brightness": (0, 0)},
        "low_resolution": {"p": 0.125, "zoom": (0.5, 1.0)},
        "gamma": {"p": 0.37, "gamma": (0.7, 1.5)},
    },
    "bias field, z-norm, noise, flip, affine": OFF
    | {
        "bias_field": {"p": 1, "coefficient": (0, 0.5)},
        "noise": {"p": 1, "std": (0, 0.25)},
        "flip": {"p": 0.5},
        "affine": {"p": 1, **ROTATE},
    },
    "affine, flip, gamma, noise": OFF
    | {
        "affine": {"p": 1, **ROTATE},
        "flip": {"p": 0.5},
        "gamma": {"p": 1, "gamma": (0.7, 1.5)},
        "noise": {"p": 1, "std": (0.1, 0.1)},
    },
    "intensity map": OFF | {"remap": {"p": 1, "monotone": 1}},
    "tissue contrast from labels": OFF | {"tissue": {"p": 1}},
    "this program's defaults, and both": {"remap": {"p": 1}, "tissue": {"p": 1}},
}
PEERS = {
    "nnU-Net's set": ("nnU-Net (batchgeneratorsv2)", "batchgeneratorsv2"),
    "bias field, z-norm, noise, flip, affine": ("TorchIO", "torchio"),
    "affine, flip, gamma, noise": ("kornia", "kornia"),
    "intensity map": ("MONAI", "monai"),
    "tissue contrast from labels": ("TorchIO", "torchio_labels"),
}


def make_batch(size: int) -> tuple[Tensor, Tensor]:
    """A smooth, z-normalised image (B, 1, H, W) and blocks of 20 classes (B, H, W)."""
    generator = torch.Generator().manual_seed(size)
    coarse = torch.randn(BATCH, 1, 24, 24, generator=generator)
    image = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    image = (image - image.mean()) / image.std()
    block = torch.arange(size) * 8 // size
    label = ((block[:, None] * 8 + block) % CLASSES).to(torch.uint8)
    return image, label.repeat(BATCH, 1, 1)


def ours(name: str, image: Tensor, label: Tensor) -> Step:
    """This program's augmentation; z-normalisation, a step of preprocessing here, is added where the peer has it."""
    augment = BatchAugmenter(AugmentConfig.model_validate(SETS[name]), seed=0)
    normalise = "z-norm" in name

    def step(number: int) -> None:
        out, _ = augment(image, label, number)
        if normalise:
            mean, std = moments(out)
            out.sub_(mean).div_(std)

    return step


def peer(name: str, image: Tensor, label: Tensor) -> Step:
    """The other tool's augmentation with the same transforms."""
    tool = PEERS[name][1]
    pipelines = {
        "batchgeneratorsv2": nnunet,
        "torchio": torchio_pipeline,
        "kornia": kornia_pipeline,
        "monai": monai_map,
        "torchio_labels": torchio_labels,
    }
    return pipelines[tool](image, label)


def monai_map(image: Tensor, _: Tensor) -> Step:
    """The histogram shift, whose maps are all monotone."""
    from monai.transforms import RandHistogramShift

    transform = RandHistogramShift(num_control_points=(4, 8), prob=1)

    def step(_: int) -> None:
        for one in image:
            transform(one)

    return step


def torchio_labels(_: Tensor, label: Tensor) -> Step:
    """SynthSeg's model of images, and its blur; all that is not labelled is one class there."""
    pipeline = torchio.Compose(
        [
            torchio.RandomLabelsToImage(label_key="label", image_key="image"),
            torchio.RandomBlur(std=(0.7, 0.7, 0.7, 0.7, 0, 0)),
        ]
    )
    subjects = [torchio.Subject(label=torchio.LabelMap(tensor=classes[None, ..., None])) for classes in label]

    def step(_: int) -> None:
        for subject in subjects:
            pipeline(subject)

    return step


def torchio_pipeline(image: Tensor, label: Tensor) -> Step:
    turn = (0, 0, 0, 0, -10, 10)  # about the slice's normal only
    zoom = (0.9, 1.1, 0.9, 1.1, 1, 1)
    pipeline = torchio.Compose(
        [
            torchio.RandomBiasField(),
            torchio.ZNormalization(),
            torchio.RandomNoise(),
            torchio.RandomFlip(axes=1),
            torchio.RandomAffine(scales=zoom, degrees=turn),
        ]
    )
    subjects = [
        torchio.Subject(
            image=torchio.ScalarImage(tensor=one[..., None]), label=torchio.LabelMap(tensor=classes[None, ..., None])
        )
        for one, classes in zip(image, label, strict=True)
    ]

    def step(_: int) -> None:
        for subject in subjects:
            pipeline(subject)

    return step


def nnunet(image: Tensor, label: Tensor) -> Step:
    """The pipeline of nnUNetTrainer.get_training_transforms for 2D, without the steps that only convert."""
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.intensity.contrast import BGContrast, ContrastTransform
    from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
    from batchgeneratorsv2.transforms.intensity.gaussian_noise import GaussianNoiseTransform
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
    from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.random import RandomTransform

    def at(p: float, transform: Any) -> Any:
        return RandomTransform(transform, apply_probability=p)

    gamma = {"gamma": BGContrast((0.7, 1.5)), "synchronize_channels": False, "p_per_channel": 1, "p_retain_stats": 1}
    pipeline = ComposeTransforms(
        [
            SpatialTransform(
                tuple(image.shape[2:]),
                patch_center_dist_from_border=0,
                random_crop=False,
                p_rotation=0.2,
                rotation=(-math.pi, math.pi),
                p_scaling=0.2,
                scaling=(0.7, 1.4),
                p_synchronize_scaling_across_axes=1,
            ),
            at(0.1, GaussianNoiseTransform(noise_variance=(0, 0.1), p_per_channel=1, synchronize_channels=True)),
            at(0.2, GaussianBlurTransform(blur_sigma=(0.5, 1.0), p_per_channel=0.5, benchmark=True)),
            at(0.15, MultiplicativeBrightnessTransform(BGContrast((0.75, 1.25)), synchronize_channels=False)),
            at(0.15, ContrastTransform(BGContrast((0.75, 1.25)), preserve_range=True, synchronize_channels=False)),
            at(0.25, SimulateLowResolutionTransform((0.5, 1), False, True, (), p_per_channel=0.5)),
            at(0.1, GammaTransform(p_invert_image=1, **gamma)),
            at(0.3, GammaTransform(p_invert_image=0, **gamma)),
            MirrorTransform((0, 1)),
        ]
    )
    classes = label[:, None].to(torch.int16)

    def step(_: int) -> None:
        for index in range(len(image)):
            pipeline(image=image[index].clone(), segmentation=classes[index].clone())

    return step


def kornia_pipeline(image: Tensor, label: Tensor) -> Step:
    import kornia.augmentation as kornia

    pipeline = kornia.AugmentationSequential(
        kornia.RandomAffine(degrees=10, scale=(0.9, 1.1), p=1),
        kornia.RandomHorizontalFlip(p=0.5),
        kornia.RandomGamma(gamma=(0.7, 1.5), gain=(1, 1), p=1),
        kornia.RandomGaussianNoise(std=0.1, p=1),
        data_keys=["input", "mask"],
    )
    unit = (image - image.min()) / (image.max() - image.min())
    classes = label[:, None].float()

    def step(_: int) -> None:
        pipeline(unit, classes)

    return step


def measure(steps: dict[str, Step], rounds: int) -> dict[str, list[float]]:
    """Milliseconds per slice of each tool in each round; a round lasts several batches, so that rates average out."""
    for step in steps.values():
        step(0)
        step(1)
    times: dict[str, list[float]] = {tool: [] for tool in steps}
    batches = 4
    for number in range(rounds):
        for tool, step in steps.items():
            start = time.perf_counter()
            for index in range(batches):
                step(2 + number * batches + index)
            times[tool].append((time.perf_counter() - start) / batches / BATCH * 1e3)
    return times


def run(sizes: list[int], rounds: int, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    for name in SETS:
        for size in sizes:
            image, label = make_batch(size)
            steps = {OURS: ours(name, image, label)}
            row: dict[str, Any] = {"transforms": name, "size": size}
            if name in PEERS:
                title, _ = PEERS[name]
                row["peer"] = title
                try:
                    steps[title] = peer(name, image, label)
                except ImportError as error:
                    row["not_run"] = f"{title} was not run at {size}²: {error}"
                    say(row["not_run"])
            times = measure(steps, rounds)
            row["ours_ms"] = statistics.median(times[OURS])
            if len(steps) == 2:
                theirs = times[row["peer"]]
                row["peer_ms"] = statistics.median(theirs)
                row["ratio"] = statistics.median(a / b for a, b in zip(times[OURS], theirs, strict=True))
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 512, 880], help="side of the square slices")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of 32 slices per tool")
    arguments = parser.parse_args()
    peers.peer()
    sys.path.append(str(peers.site_packages()))  # after the project's own packages
    torch.set_num_threads(1)
    SimpleITK.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    torch.manual_seed(0)

    console = Console()
    rows = list(run(arguments.sizes, arguments.rounds, console.print))
    table = Table(title="Augmentation per slice, one thread, ms")
    for column in ("transforms", "size", OURS, "peer", "peer's", "ratio"):
        table.add_column(column, justify="left" if column in ("transforms", "peer") else "right")
    for row in rows:
        theirs = [f"{row['peer_ms']:.2f}", f"{row['ratio']:.3f}"] if "ratio" in row else ["not run", ""]
        table.add_row(
            row["transforms"],
            f"{row['size']}²",
            f"{row['ours_ms']:.2f}",
            row.get("peer", ""),
            *(theirs if "peer" in row else ["", ""]),
        )
    console.print(table)
    if arguments.out:
        versions = {"python": platform.python_version(), "torch": torch.__version__, "torchio": torchio.__version__}
        report = {"machine": platform.processor() or platform.machine(), "threads": 1, "batch": BATCH, **versions}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(report | {"rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
