"""A cohort without references: one sheet to review it, what was decided there, and what becomes of that.

Uses the certificates that naming leaves beside label volumes, and tables of measurements; shares with `report` how a
page is kept whole and safe.
"""
