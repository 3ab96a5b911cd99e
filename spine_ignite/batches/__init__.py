"""What a training step sees: which slices, in which order, loaded, cut into patches and augmented.

Uses the slice store. Everything random is a function of the seed and the step.
"""
