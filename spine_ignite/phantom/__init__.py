"""Synthetic sagittal MRI of the spine, with labels: any contrast, any field of view, people who differ.

Uses label schemes, volumes to write them and drawing to show them; the demo and the tests need no other data.
"""

from spine_ignite.phantom.acquisition import Exam, Phantom, make_phantom
from spine_ignite.phantom.phantom_options import VARIED, PhantomOptions
from spine_ignite.phantom.writing import write_phantoms

__all__ = ["VARIED", "Exam", "Phantom", "PhantomOptions", "make_phantom", "write_phantoms"]
