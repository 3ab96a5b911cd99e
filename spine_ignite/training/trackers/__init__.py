"""Who is told how training goes, each for itself."""
