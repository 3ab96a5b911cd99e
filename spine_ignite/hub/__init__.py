"""A run as a folder for a model hub: the network's file, and a card whose every figure comes from the run itself.

The card tells counts of cases and patients, and none of their names.
"""
