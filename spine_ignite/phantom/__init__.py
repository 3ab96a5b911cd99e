"""Synthetic sagittal lumbar MRI with all 20 MRSpineSeg labels.

Uses volumes to write them and drawing to show them; the demo and the tests need no other data.
"""

from spine_ignite.phantom.acquisition import Phantom, make_phantom
from spine_ignite.phantom.writing import write_phantoms

__all__ = ["Phantom", "make_phantom", "write_phantoms"]
