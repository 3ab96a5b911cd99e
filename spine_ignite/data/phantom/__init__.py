"""Synthetic sagittal lumbar MRI with all 20 MRSpineSeg labels."""

from spine_ignite.data.phantom.acquisition import Phantom, make_phantom
from spine_ignite.data.phantom.writing import write_phantoms

__all__ = ["Phantom", "make_phantom", "write_phantoms"]
