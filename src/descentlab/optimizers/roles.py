"""The parts that optimizers play in the lecture and in the report, by their names in the table.

Everything that treats an optimizer specially names its role here: claims and contrasts, the first screen, figures, views.
"""

from __future__ import annotations

FULL_BATCH = "gd"
PLAIN = "sgd"  # what the slides hold every other method against
MOMENTUM = "momentum"
ADAGRAD = "adagrad"
RMSPROP = "rmsprop"
ADAM = "adam"
ADAGRAD_FROM_ZERO = "adagrad (accumulator 0)"  # AdaGrad without the constants that Keras adds; no row of the table

LECTURE = (FULL_BATCH, PLAIN, MOMENTUM, ADAGRAD, RMSPROP, ADAM)  # what the slides present, in their order
MINI_BATCH = LECTURE[1:]  # without the full batch
ADVANCED = (ADAGRAD, RMSPROP, ADAM)  # what the slides call "avanzados"
NOT_ADAPTIVE = (PLAIN, MOMENTUM)
ALWAYS_SHOWN = (PLAIN, MOMENTUM, ADAM)  # where there is no room for all

REFERENCE = MOMENTUM  # of paired differences, unless the config names another
PRIMARY_CONTRASTS = ((ADAM, PLAIN), (ADAM, MOMENTUM))  # declared before the runs
