"""The zoo holds no tests, and pytest would import it to look for some: that starts TensorFlow before it is set up."""

collect_ignore = ["zoo"]
