"""From tables of runs to the comparison: intervals, verdicts, claims."""
