"""The reader's language: English in the code, one catalog for each other language."""
