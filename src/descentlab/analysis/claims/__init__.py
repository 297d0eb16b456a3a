"""The claims of the slides: what each predicts, the evidence for it, and the verdict."""
