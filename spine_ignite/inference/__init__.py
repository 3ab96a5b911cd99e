"""From a volume to its label volume: networks, views and windows, clean-up, files and their records.

Uses runs for networks and slices for what they see; knows no training.
"""
