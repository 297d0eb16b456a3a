"""Pure functions of arrays: intervals, tests, verdicts."""
