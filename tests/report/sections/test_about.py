"""Models, protocol and provenance say what the plan says."""

from __future__ import annotations

import pytest
import yaml

from descentlab.experiment.config import Config
from descentlab.report.sections import Evidence
from descentlab.report.sections.about import grid_words, models, protocol, provenance
from support.report_evidence import evidence_of, table_named


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of()


def test_models_show_layers_total_and_count(evidence: Evidence) -> None:
    table = table_named(models(evidence), "model-up")
    assert table.rows == [["dense", "Dense", "(None, 2)", "53"], ["total", "", "", "53"]]
    assert "12 + 20 + 10 + 4 + 5 + 2 = 53. 32 training, 8 validation, 8 test examples" in table.caption


@pytest.mark.parametrize(("grid", "words"), [([0.001, 0.1], "0.001 … 0.1 (2)"), ([None], "none"), ([], "none")])
def test_words_for_a_grid(grid: list[float | None], words: str) -> None:
    assert grid_words(grid) == words


def test_the_protocol_has_the_experiments_own_numbers() -> None:
    seeds = {"final": 7, "tuning": 2}
    rules = dict(table_named(protocol(evidence_of(seeds=seeds)), "rules").rows)
    assert rules["Seeds"].startswith("7 final seeds")
    assert "2 tuning seeds" in rules["Grid"]


def test_provenance_lets_the_reader_do_it_again(evidence: Evidence) -> None:
    section = provenance(evidence)
    config = yaml.safe_load(getattr(section.blocks[-1], "text", ""))
    assert Config.model_validate(config) == evidence.plan.config
    rows = dict(table_named(section, "versions").rows)
    assert rows["git_commit"] == "abc" and rows["up: data (sha256)"] == "d" * 64
    assert rows["MLflow experiment"] == "generated"
    assert "descentlab.run_id" in rows["MLflow tag of a run"]
