"""Label schemes: which value in a mask file is which structure, declared once; also as nnU-Net's ``dataset.json``."""

from spine_ignite.labels.scheme import IGNORE, Kind, LabelClass, LabelScheme, load_scheme

__all__ = ["IGNORE", "Kind", "LabelClass", "LabelScheme", "load_scheme"]
