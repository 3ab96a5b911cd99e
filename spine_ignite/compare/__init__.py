"""Several evaluated runs beside each other: tables, tests and figures.

Uses what evaluation has written, and profiling for costs; trains and predicts nothing.
"""

from spine_ignite.compare.comparison import Comparison, compare
from spine_ignite.compare.output import comparison_record, write_comparison

__all__ = ["Comparison", "compare", "comparison_record", "write_comparison"]
