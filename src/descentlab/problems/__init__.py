"""The problems to train: what a Problem is, and the built-in ones, one file each."""
