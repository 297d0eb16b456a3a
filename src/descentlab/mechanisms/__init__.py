"""Small experiments of their own: one mechanism that the slides name each, measured where it can be seen alone."""
