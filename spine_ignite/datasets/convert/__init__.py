"""Write a dataset anew in another layout, whole or not at all: where its files go, and what is written beside them.

Layouts that are read are in :mod:`spine_ignite.datasets.layouts`; each that is written is a module here.
"""
