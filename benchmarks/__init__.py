"""How fast the engine is, each figure a ratio to the plain way, measured side by side in one run."""
