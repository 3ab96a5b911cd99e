"""The training and evaluation engines and the handlers on their events."""
