"""What sections are made of."""

from __future__ import annotations

import base64
import gzip
import io

import pandas as pd

from descentlab.analysis.statistics.intervals import Interval
from descentlab.report.blocks import csv_text, distinct, interval_text, packed_csv, present
from support.report_evidence import evidence_of


def test_a_download_holds_five_digits() -> None:
    table = pd.DataFrame({"name": ["a,b"], "value": [1 / 3]})
    text = csv_text(table)
    assert text == 'name,value\n"a,b",0.33333\n'
    assert pd.read_csv(io.StringIO(text))["name"].tolist() == ["a,b"]
    assert gzip.decompress(base64.b64decode(packed_csv(table))).decode() == text


def test_names_in_the_order_of_the_plan_once() -> None:
    assert present(["b", "a", "b"], ["a", "c", "b"]) == ["a", "b"]


def test_names_in_the_order_of_their_first_appearance_once() -> None:
    assert distinct(["b", "a", "b", "c"]) == ["b", "a", "c"]


def test_an_estimate_has_its_interval_and_n() -> None:
    assert interval_text(Interval(0.5, 0.25, 0.75, 10)) == "0.5 [0.25, 0.75], n = 10"
    assert interval_text(Interval(0.5, -0.25, 1.25, 3), signed=True) == "+0.5 [\N{MINUS SIGN}0.25, +1.25], n = 3"


def test_what_a_table_has_rows_of_stands_in_the_order_of_the_plan() -> None:
    table = pd.DataFrame(
        {"problem": ["down", "up", "down"], "arm": ["default", "tuned", "tuned"], "optimizer": ["adam", "sgd", "adam"]}
    )
    evidence = evidence_of()
    assert evidence.problems_in(table) == ["up", "down"]
    assert evidence.arms_in(table) == ["tuned", "default"]
    assert evidence.optimizers_in(table) == ["sgd", "adam"]
    assert evidence.measurement("not measured").empty
