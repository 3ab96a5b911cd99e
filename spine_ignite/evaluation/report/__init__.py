"""A run as one HTML page that needs nothing but itself."""

from spine_ignite.evaluation.report.page import Report, write_report

__all__ = ["Report", "write_report"]
