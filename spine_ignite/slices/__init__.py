"""The slice store: volumes as normalised, memory-mapped slices, built once and brought up to date.

Uses datasets and volumes; preprocessing and prediction share its one path from volume to slices.
"""
