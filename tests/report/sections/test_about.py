"""Models, protocol and provenance say what the plan says."""

from __future__ import annotations

import pytest
import yaml

from descentlab.experiment.config import Config
from descentlab.report.sections import Evidence
from descentlab.report.sections.about import grid_words, models, protocol, provenance
from support.report_evidence import evidence_of, table_named, values_of


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def test_models_show_layers_total_and_count(evidence: Evidence) -> None:
    table = table_named(models(evidence), "model-up")
    assert table.rows == [["dense", "Dense", "(None, 2)", "53"], ["total", "", "", "53"]]
    # The slides' count; training, validation and test examples.
    assert values_of(table.caption)[:10] == [12, 20, 10, 4, 5, 2, 53, 32, 8, 8]


@pytest.mark.parametrize(("grid", "words"), [([0.001, 0.1], "0.001 … 0.1 (2)"), ([None], "none"), ([], "none")])
def test_words_for_a_grid(grid: list[float | None], words: str) -> None:
    assert grid_words(grid) == words


def test_the_center_of_a_grid_has_its_source(evidence: Evidence) -> None:
    table = table_named(models(evidence), "optimizers")
    center = table.headers.index("its center")
    assert {values_of(row[center])[-1] for row in table.rows} == {2012}


def test_the_protocol_has_the_experiments_own_numbers() -> None:
    seeds = {"final": 7, "tuning": 2}
    rules = dict(table_named(protocol(evidence_of(seeds=seeds)), "rules").rows)
    assert values_of(rules["Seeds"]) == [7]
    assert values_of(rules["Grid"]) == [7, 2, 15]  # points, seeds, and points at most


def test_provenance_lets_the_reader_do_it_again(evidence: Evidence) -> None:
    section = provenance(evidence)
    config = yaml.safe_load(getattr(section.blocks[-1], "text", ""))
    assert Config.model_validate(config) == evidence.plan.config
    *first, experiment, tag = table_named(section, "versions").rows
    assert ["git_commit", "abc"] in first
    assert next(value for name, value in first if name.startswith("up")) == "d" * 64  # its data's sha256
    assert experiment[1] == "generated"
    assert f"descentlab.run_id = '{evidence.comparison.scores['run_id'].iloc[0]}'" in tag[1]
