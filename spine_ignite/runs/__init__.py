"""What a run remembers: its directory, split, description and checkpoints, and what a resume may change.

Uses datasets and slices for the split, networks for weights. Training, prediction and evaluation meet here.
"""
