"""Whether a run, a cross-validation or a study is what its manifest says, and what its parts give when computed again.

Uses evaluation, inference and training to compute again; hashes against files come first and need none of them.
"""
