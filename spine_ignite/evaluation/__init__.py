"""Metrics of label volumes in 3D."""
