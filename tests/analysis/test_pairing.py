"""The scores of the test examples, run by run."""

from __future__ import annotations

import pandas as pd

from descentlab.analysis.pairing import scores_by_run
from descentlab.experiment.records import EXAMPLES
from descentlab.storage.tables import empty_table


def test_scores_are_each_runs_own_in_the_order_of_the_examples() -> None:
    examples = pd.DataFrame(
        [("b", 3, 0.3), ("a", 2, 0.2), ("b", 1, 0.1), ("a", 7, 0.7), ("b", 2, 0.25)], columns=list(EXAMPLES)
    )
    assert {run: list(scores) for run, scores in scores_by_run(examples).items()} == {
        "a": [0.2, 0.7],
        "b": [0.1, 0.25, 0.3],
    }
    assert scores_by_run(empty_table(EXAMPLES)) == {}
