"""Volumes: one file per format, their geometry, and label volumes on an input's grid.

Uses the ground alone. Nothing else in the program opens a volume.
"""
