"""What changed between two results: read as rows, compared, shown."""
