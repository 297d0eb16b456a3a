"""Addresses within MLflow's UI."""

from __future__ import annotations

from urllib.parse import parse_qs

from descentlab.tracking.links import link_artifact, link_run, link_runs, link_view, picture_address


def test_a_list_of_runs_has_its_condition_and_order() -> None:
    link = link_runs("3", "tags.problem = 'a' and tags.`b.c` != 'd'", "metrics.`val_loss`", True)
    place, _, query = link.partition("?")
    assert place == "#/experiments/3/runs"
    assert parse_qs(query) == {
        "workflowType": ["machine_learning"],
        "searchFilter": ["tags.problem = 'a' and tags.`b.c` != 'd'"],
        "orderByKey": ["metrics.`val_loss`"],
        "orderByAsc": ["true"],
    }
    assert set(link) & set(" '`()[]") == set()  # Markdown would end the link there


def test_a_view_opens_as_a_list_or_as_charts() -> None:
    place = "#/experiments/3/runs?workflowType=machine_learning"
    assert link_view("3", "mine") == f"{place}&viewStateShareKey=mine"
    assert link_view("3", "mine", charts=True) == f"{place}&compareRunsMode=CHART&viewStateShareKey=mine"


def test_a_run_and_its_file_have_a_page_and_a_file_is_a_picture() -> None:
    assert link_run("3", "ab") == "#/experiments/3/runs/ab?workflowType=machine_learning"
    assert link_artifact("3", "ab", "a b.html") == (
        "#/experiments/3/runs/ab/artifacts/a%20b.html?workflowType=machine_learning"
    )
    assert picture_address("ab", "curve.png") == "get-artifact?path=curve.png&run_uuid=ab"
