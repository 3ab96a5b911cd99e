"""A run as one HTML page that needs nothing but itself.

Uses what training and evaluation have left in the run, and volumes for its viewer.
"""

from spine_ignite.report.page import Report, write_report

__all__ = ["Report", "write_report"]
