"""The reader's language: English in the code, one catalogue for each other language."""
