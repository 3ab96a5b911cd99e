"""Cross-validation: a network for each fold of the patients, and what all of them say about every training case.

Uses training for the folds, one after the other, and inference and evaluation for the cases that each has not seen;
ranks these by how far mask and prediction are apart, which finds masks that are wrong.
"""
