"""What sections are made of."""

from __future__ import annotations

import base64
import io

import pandas as pd

from descentlab.sections.blocks import csv_link, present


def test_a_download_holds_five_digits() -> None:
    link = csv_link(pd.DataFrame({"name": ["a,b"], "value": [1 / 3]}))
    text = base64.b64decode(link.removeprefix("data:text/csv;charset=utf-8;base64,")).decode()
    assert text == 'name,value\n"a,b",0.33333\n'
    assert pd.read_csv(io.StringIO(text))["name"].tolist() == ["a,b"]


def test_names_in_the_order_of_the_plan_once() -> None:
    assert present(["b", "a", "b"], ["a", "c", "b"]) == ["a", "b"]
