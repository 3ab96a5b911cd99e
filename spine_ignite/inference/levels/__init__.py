"""Levels of the spine: the naming of a whole column, and how surely it is right.

Pieces of a label map (:mod:`.instances`) and what is known of them (:mod:`.evidence`) give every hypothesis a score
(:mod:`.hypotheses`); the sums over all of them are exact (:mod:`.naming`). No network is needed.
"""
