"""Data that several problems read, one file for each set."""
