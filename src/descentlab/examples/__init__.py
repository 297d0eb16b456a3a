"""Optimizers that a reader could have written, used by import path: nothing in the package knows of them."""
