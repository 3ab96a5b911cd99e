"""What architectures are built from: encoders, heads, attention, blocks.

Uses nothing of the core but its errors, so that plugins can.
"""
