"""Augmentation of batches on their device: in space, of intensities, and TorchIO's transforms by name."""
