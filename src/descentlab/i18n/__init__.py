"""The reader's language: English in the code, a catalogue for each other language."""
