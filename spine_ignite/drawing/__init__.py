"""Everything that makes a picture of slices: grey values, overlays, outlines, panels.

Uses label schemes for colours and names; takes arrays, not files.
"""
