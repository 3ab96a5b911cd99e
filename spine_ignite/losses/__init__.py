"""Losses: the criterion with its auxiliary outputs, Dice with cross-entropy, and what MONAI lends.

Uses the plugin contract; takes logits and labels.
"""
