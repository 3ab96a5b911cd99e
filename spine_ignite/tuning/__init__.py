"""Before a run: the largest batch, the learning rate, a dry run. Each builds a session and throws it away.

Uses training.
"""
