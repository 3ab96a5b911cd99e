"""Volumes, slices and batches: the only part that knows files."""
