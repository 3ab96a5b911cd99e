"""Datasets: layouts, cases, patients, what is wrong with them, and the record of a split.

Uses volumes. Knows no slices and no networks.
"""
