"""What sections are made of."""

from __future__ import annotations

import base64
import gzip
import io

import pandas as pd

from descentlab.report.blocks import csv_text, packed_csv, present


def test_a_download_holds_five_digits() -> None:
    table = pd.DataFrame({"name": ["a,b"], "value": [1 / 3]})
    text = csv_text(table)
    assert text == 'name,value\n"a,b",0.33333\n'
    assert pd.read_csv(io.StringIO(text))["name"].tolist() == ["a,b"]
    assert gzip.decompress(base64.b64decode(packed_csv(table))).decode() == text


def test_names_in_the_order_of_the_plan_once() -> None:
    assert present(["b", "a", "b"], ["a", "c", "b"]) == ["a", "b"]
