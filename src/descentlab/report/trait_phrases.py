"""What a problem's traits are called, and which of them go with Adam's advantage over plain SGD."""

from __future__ import annotations

import math

import pandas as pd

from descentlab.analysis.advantages import LEAST_PROBLEMS
from descentlab.i18n.wording import joined, message, words
from descentlab.report.formatting import interval, number

TRAIT_WORDS = {
    "class_slope": message("tail of the classes"),
    "embedding_share": message("share of embeddings"),
    "attention": message("attention"),
    "batch_norm": message("batch normalization"),
    "convex": message("convex"),
    "noise_scale": message("noise of the gradient"),
    "curvature_spread": message("spread of the curvature"),
}


def trait_words(associations: pd.DataFrame) -> str:
    """Which traits go with a larger or smaller advantage, with their correlations.

    Args:
        associations: of :func:`~descentlab.analysis.advantages.associate_traits`, of one arm.
    """
    if associations.empty:
        return words("with fewer than {least} problems nothing is said of the traits", least=LEAST_PROBLEMS)
    found = associations[(associations["low"] > 0) | (associations["high"] < 0)]
    if found.empty:
        return words("no trait goes with it")
    named = []
    for row in found.to_dict("records"):
        value = interval(row["correlation"], row["low"], row["high"], row["n"], signed=True)
        named.append(f"{words(TRAIT_WORDS[row['trait']])} {value}, {_left_out(row['least'], row['most'])}")
    return words("what goes with it (rank correlation): {traits}", traits=joined(named))


def _left_out(least: float, most: float) -> str:
    if math.isnan(least) or math.isnan(most):
        return words("which rests on a single problem")
    return words("{least} to {most} with one problem left out", least=number(least), most=number(most))
