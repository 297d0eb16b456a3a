"""The slides' table of parameters: what Keras counts beside what the slide prints, and which rows differ."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from descentlab.report.sections import Evidence
from descentlab.report.sections.slides_network import ON_THE_SLIDE, slides_network
from support.report_evidence import evidence_of, found, table_named


@pytest.fixture(scope="module")
def layers() -> pd.DataFrame:
    names = list(ON_THE_SLIDE)
    return pd.DataFrame(
        {"layer": names, "kind": "Dense", "output_shape": "(None, 1)", "parameters": ON_THE_SLIDE.values()}
    )


def with_layers(layers: pd.DataFrame) -> Evidence:
    return dataclasses.replace(evidence_of(), measured={"slides_network": layers})


def test_without_the_measurement_there_is_no_section() -> None:
    assert slides_network(dataclasses.replace(evidence_of(), measured={})) is None


def test_a_row_a_layer_and_the_total(layers: pd.DataFrame) -> None:
    table = table_named(found(slides_network(with_layers(layers))), "slides-network")
    assert [row[3:] for row in table.rows] == [[f"{n:,}", f"{n:,}"] for n in (320, 18496, 295424, 5130, 319370)]
    assert not any(name in table.title for name in ON_THE_SLIDE)


def test_a_layer_that_differs_is_named(layers: pd.DataFrame) -> None:
    other = layers.assign(parameters=layers["parameters"] + (layers["layer"] == "c2"))
    table = table_named(found(slides_network(with_layers(other))), "slides-network")
    assert [name for name in ON_THE_SLIDE if name in table.title] == ["c2"]
    assert table.rows[-1][3:] == ["319,371", "319,370"]
