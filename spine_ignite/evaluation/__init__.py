"""Label volumes against a reference: 3D measures per case and class, levels, tables.

Uses inference for runs that are judged, and volumes; how figures are shown everywhere is said here.
"""
