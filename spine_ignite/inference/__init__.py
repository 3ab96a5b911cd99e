"""From a volume to its label volume."""
