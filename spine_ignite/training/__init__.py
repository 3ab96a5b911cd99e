"""Training: the step, its events and the handlers on them, a run from its start or its last checkpoint.

Uses all rooms that make batches, losses and runs. Predicts volumes only where a tracker shows them.
"""
