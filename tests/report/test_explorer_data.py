"""The explorer's data: every mean, every final run, thinned where they are many, and safe inside a page."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json

import numpy as np

from descentlab.report.blocks import packed
from descentlab.report.explorer_data import script_json, thin
from support.explorer_evidence import collected, evidence_with_history


def unpacked(text: str) -> str:
    return gzip.decompress(base64.b64decode(text)).decode()


def test_every_mean_travels_with_half_its_interval() -> None:
    evidence = evidence_with_history()
    curves, means = evidence.comparison.curves, collected(evidence)["means"]
    assert len(means) == len(curves)
    np.testing.assert_allclose(means["val_loss"], curves["val_loss_mean"], rtol=5e-4)
    half = (curves["val_metric_high"] - curves["val_metric_low"]) / 2
    np.testing.assert_allclose(means["val_metric_half"], half, rtol=5e-4)


def test_single_runs_are_the_final_ones_at_their_own_evaluations() -> None:
    evidence = evidence_with_history()
    tables = collected(evidence)
    runs, history = tables["runs"], evidence.history
    assert set(runs["id"]) == set(evidence.comparison.scores["run_id"])
    assert tables["values"].shape[0] == runs["evaluations"].sum() == history["run_id"].isin(runs["id"]).sum()
    start = runs["evaluations"].cumsum() - runs["evaluations"]
    for place in (0, 17, len(runs) - 1):
        mine = tables["values"].iloc[start[place] : start[place] + runs.loc[place, "evaluations"]]
        expected = history.loc[history["run_id"] == runs.loc[place, "id"], "val_loss"]
        np.testing.assert_allclose(mine["val_loss"], expected, rtol=5e-4)
        assert list(mine["at"]) == list(range(len(expected)))


def test_what_is_not_finite_is_nothing_and_a_lost_run_keeps_its_place() -> None:
    evidence = evidence_with_history()
    history = evidence.history.copy()
    lost, diverged = evidence.comparison.scores["run_id"].iloc[[0, 1]]
    history.loc[history["run_id"] == diverged, "val_loss"] = np.inf
    tables = collected(dataclasses.replace(evidence, history=history[history["run_id"] != lost]))
    assert list(tables["runs"]["id"][:2]) == [lost, diverged]
    assert tables["runs"].loc[0, "evaluations"] == 0
    assert tables["values"]["val_loss"][: tables["runs"].loc[1, "evaluations"]].isna().all()


def test_thinned_places_hold_both_ends_and_do_not_depend_on_the_batch() -> None:
    updates = np.array([0, 1, 2, 4, 8, 16, *range(20, 820, 20)])
    for most in (3, 5, 12):
        places = thin(updates, most)
        assert len(places) <= most and {0, 1, len(updates) - 1} <= set(places)
        np.testing.assert_array_equal(places, thin(updates * 7, most))
    np.testing.assert_array_equal(thin(updates, len(updates)), np.arange(len(updates)))


def test_packed_text_is_the_same_every_time_and_comes_back() -> None:
    assert packed("añ" * 99) == packed("añ" * 99)
    assert unpacked(packed("añ" * 99)) == "añ" * 99


def test_json_in_the_page_cannot_end_its_element() -> None:
    value = {"</script>": ["<!--", "&amp;", "\u2028\u2029", "🦀", 1.5, None]}
    text = script_json(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value
