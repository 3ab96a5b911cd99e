"""What the core itself brings: it registers through the same hooks as everybody else."""

from __future__ import annotations

from pathlib import Path

from spine_ignite.commands import COMMANDS
from spine_ignite.hookspecs import RegisterComponent, hookimpl
from spine_ignite.spec import Component, OfClasses

_LOSSES = {
    "dice": ("dice:dice", "Soft Dice over the batch"),
    "dice_ce": ("dice:dice_ce", "Soft Dice plus cross-entropy, the default"),
    "ce": ("cross_entropy:cross_entropy", "Cross-entropy"),
    "structure": ("structure:StructureLoss", "Cross-entropy and IoU weighted towards borders (Wei et al. 2020)"),
    "focal": ("from_monai:focal", "Focal loss (Lin et al. 2017)"),
    "dice_focal": ("from_monai:dice_focal", "Soft Dice plus focal"),
    "tversky": ("from_monai:tversky", "Tversky loss (Salehi et al. 2017)"),
    "generalised_dice": ("from_monai:generalised_dice", "Generalised Dice (Sudre et al. 2017)"),
    "generalised_dice_focal": ("from_monai:generalised_dice_focal", "Generalised Dice plus focal"),
    "hausdorff_dt": (
        "from_monai:hausdorff_dt",
        "Hausdorff distance by distance transforms (Karimi et al. 2019)",
    ),
}


_OPTIMIZERS = {
    "sgd": "Stochastic gradient descent with momentum",
    "adam": "Adam (Kingma & Ba 2015)",
    "nadam": "Adam with Nesterov's momentum (Dozat 2016)",
    "adamw": "Adam with decoupled weight decay (Loshchilov & Hutter 2019), the default",
}
_SCHEDULES = {
    "constant": "The peak rate throughout",
    "step": "A factor at each step, such as 0.8 every tenth of training",
    "poly": "Falls as a power of what is left of training (Chen et al. 2018)",
    "cosine": "Falls as half a cosine wave (Loshchilov & Hutter 2017), the default",
}
_METRICS = {
    "dice": ("dice", "Dice of each structure: 2 TP / (2 TP + FP + FN)"),
    "iou": ("iou", "Intersection over union of each structure"),
    "recall": ("recall", "Share of a structure's pixels that are found"),
    "fnr": ("false_negative_rate", "Share of a structure's pixels that are missed"),
    "fpr": ("false_positive_rate", "Share of the other pixels that are taken for the structure"),
    "pixel_accuracy": ("pixel_accuracy", "Share of all pixels, background included, whose class is right"),
}
_TRACKERS = {
    "jsonl": ("jsonl:JsonLines", "One row an epoch in metrics.jsonl; always"),
    "console": ("console:Console", "A line an epoch; always"),
    "tensorboard": ("tensorboard:Scalars", "All figures for TensorBoard; with log.tensorboard"),
    "pictures": ("pictures:Pictures", "Pictures of validation for TensorBoard; with log.tensorboard"),
    "volumes": ("volumes:Volumes", "Predicted volumes along the way; with log.volumes_every"),
}
_READERS = {
    "nifti": ("nifti:NiftiReader", "NIfTI, through nibabel", (".nii", ".nii.gz")),
    "metaimage": ("metaimage:MetaImageReader", "MetaImage, through SimpleITK", (".mha", ".mhd")),
    "nrrd": ("nrrd:NrrdReader", "NRRD, of 3D Slicer for one", (".nrrd", ".nhdr")),
    "mgh": ("mgh:MghReader", "FreeSurfer's MGH and MGZ, through nibabel", (".mgz", ".mgh")),
    "pair": ("image_pair:PairReader", "NIfTI and Analyze in two files (.hdr, .img)", (".hdr", ".hdr.gz")),
    "dicom": ("dicom.dicom_reader:DicomReader", "DICOM: folders, zips and DICOMDIRs, through pydicom", (".dcm",)),
}
_LAYOUTS = {
    "nnunet": "nnU-Net raw (imagesTr, labelsTr, imagesTs, labelsTs)",
    "mrspineseg": "train/source + train/label (and test/)",
    "spider": "SPIDER (images, masks)",
    "bids": "BIDS (sub-*/anat, derivatives/*/sub-*/anat/*_dseg)",
    "monai": "a datalist of MONAI (datalist.json, dataset.json)",
    "dicom": "DICOM without masks (a folder, a zip or a DICOMDIR of series)",
}
_CLEANUP = {
    "levels": ("levels:name_levels", "vertebrae and discs named as the most likely column"),
    "components": ("shapes:keep_largest", "of each structure the largest connected component"),
    "holes": ("shapes:fill_holes", "no holes in a structure's slices"),
}
_SCHEMES = {
    "mrspineseg": "MRSpineSeg: sacrum, nine vertebrae, nine discs (20 classes)",
    "spine": "Sacrum, L6 to T1 with T13, discs between them, canal, cord, ribs (45 classes)",
    "spider": "SPIDER: vertebrae and discs up to the skull, spinal canal",
    "totalspineseg": "TotalSpineSeg: sacrum to C1, discs, canal, cord",
    "spineps": "SPINEPS, masks of instances (seg-vert): sacrum to C1, discs",
    "lumbar-vertebrae": "The vertebral bodies L5 to T11 alone",
}


@hookimpl
def register_losses(register: RegisterComponent) -> None:
    """The project's losses and MONAI's."""
    for name, (target, summary) in _LOSSES.items():
        register(Component(name, f"spine_ignite.losses.{target}", summary))


@hookimpl
def register_metrics(register: RegisterComponent) -> None:
    """What validation always measures, from one confusion matrix."""
    for name, (function, summary) in _METRICS.items():
        register(Component(name, f"spine_ignite.training.metrics:{function}", summary))


@hookimpl
def register_trackers(register: RegisterComponent) -> None:
    """Who is told of each epoch; the keys of the section ``log`` say which of them."""
    for name, (target, summary) in _TRACKERS.items():
        register(Component(name, f"spine_ignite.training.trackers.{target}", summary))


@hookimpl
def register_readers(register: RegisterComponent) -> None:
    """The formats of volumes."""
    for name, (target, summary, suffixes) in _READERS.items():
        register(Component(name, f"spine_ignite.volumes.{target}", summary, suffixes=suffixes))


@hookimpl
def register_layouts(register: RegisterComponent) -> None:
    """The layouts of datasets, in the order in which they are looked for."""
    for name, summary in _LAYOUTS.items():
        register(Component(name, f"spine_ignite.datasets.layouts:{name}", summary))


@hookimpl
def register_cleanup_steps(register: RegisterComponent) -> None:
    """The steps of post-processing, in the order in which they are taken."""
    for name, (target, summary) in _CLEANUP.items():
        options = OfClasses if target.startswith("shapes") else None
        register(Component(name, f"spine_ignite.inference.postprocess.{target}", summary, options))


@hookimpl
def register_commands(register: RegisterComponent) -> None:
    """The commands."""
    for name, summary in COMMANDS.items():
        register(Component(name, f"spine_ignite.cli.{name.replace('-', '_')}:command", summary))


@hookimpl
def register_optimizers(register: RegisterComponent) -> None:
    """PyTorch's optimizers."""
    for name, summary in _OPTIMIZERS.items():
        register(Component(name, f"spine_ignite.training.optimizers:{name}", summary))


@hookimpl
def register_schedules(register: RegisterComponent) -> None:
    """The courses of the learning rate after warm-up."""
    for name, summary in _SCHEDULES.items():
        register(Component(name, f"spine_ignite.training.schedule:{name}", summary))


@hookimpl
def register_label_schemes(register: RegisterComponent) -> None:
    """The schemes that ship with the core."""
    folder = Path(__file__).with_name("schemes")
    for name, summary in _SCHEMES.items():
        register(Component(name, str(folder / f"{name}.yaml"), summary))
