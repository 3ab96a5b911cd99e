"""Several evaluated runs beside each other: tables, tests and figures."""

from spine_ignite.evaluation.compare.comparison import Comparison, compare
from spine_ignite.evaluation.compare.output import comparison_record, write_comparison

__all__ = ["Comparison", "compare", "comparison_record", "write_comparison"]
