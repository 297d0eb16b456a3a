"""The engine: a whole epoch compiled, many runs side by side."""
