"""The claims of the slides: what each predicts, the evidence, the verdict."""
