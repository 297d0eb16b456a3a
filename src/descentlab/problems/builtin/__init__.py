"""The built-in problems, one file each; `descentlab.problems.table` names them."""
