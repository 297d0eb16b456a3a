"""What a stranger reads on an experiment's page."""

from __future__ import annotations

import re
from urllib.parse import parse_qs

import pytest
from mlflow.tracking import MlflowClient

from descentlab.experiment.plan import TrainingPlan
from descentlab.tracking.entry import NOTE
from descentlab.tracking.experiment_page import experiment_tags
from descentlab.tracking.links import link_artifact, link_view
from descentlab.tracking.saved_views import OWNED, START, VIEW_TAG
from descentlab.tracking.store import store_uri
from descentlab.tracking.track import track_report
from support.comparison_fixture import generated_plan
from support.tracked_jobs import RESULTS

FOUND = {"up.sgd": "a", "up.adam": "b", "report": "c"}


def links(markdown: str) -> list[str]:
    return re.findall(r"\]\((#[^)]*)\)", markdown)


@pytest.mark.parametrize("reported", [True, False])
def test_the_first_paragraph_leads_to_the_report_once_there_is_one_and_to_the_parents(reported: bool) -> None:
    note = experiment_tags(generated_plan(), "7", FOUND if reported else {})[NOTE]
    report = [link_artifact("7", "c", "index.html")] if reported else []
    assert links(note.split("\n\n")[0]) == [*report, link_view("7", START)]
    assert ("index.html" in note) == reported


def test_every_view_is_linked_and_every_link_has_its_view() -> None:
    tags = experiment_tags(generated_plan(), "7", FOUND)
    linked = {
        query["viewStateShareKey"][0]
        for link in links(tags[NOTE])
        if "viewStateShareKey" in (query := parse_qs(link.partition("?")[2]))
    }
    assert linked == {name.removeprefix(VIEW_TAG) for name in tags if name.startswith(VIEW_TAG)}
    assert len(linked) == 1 + 2 + 2  # the start, the means of both problems, the pair and the rates of one
    assert all(len(value) < 5000 for value in tags.values())  # what MLflow takes


@pytest.mark.usefixtures("tracked")
def test_the_conditions_that_it_names_find_runs() -> None:
    client = MlflowClient(store_uri(None))
    experiment = client.get_experiment_by_name("generated")
    assert experiment is not None
    conditions = re.findall(r"`(tags\.[^`]* = '[^`]*')`", experiment.tags[NOTE])
    assert len(conditions) == 2
    counts = [len(client.search_runs([experiment.experiment_id], condition)) for condition in conditions]
    assert counts == [2, 4]  # two parents; two tuned seeds of each


@pytest.mark.usefixtures("tracked")
def test_the_report_is_linked_once_it_is_logged_and_a_readers_view_is_kept() -> None:
    client = MlflowClient(store_uri(None))
    experiment = client.get_experiment_by_name("generated")
    assert experiment is not None
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
    own, outdated = f"{VIEW_TAG}17a", f"{VIEW_TAG}{OWNED}pair-gone"
    for name in (own, outdated):
        client.set_experiment_tag(experiment.experiment_id, name, "{}")
    report = RESULTS / "index.html"
    report.write_text("a report")
    track_report(TrainingPlan.read(RESULTS), RESULTS, report, None)
    tags = client.get_experiment(experiment.experiment_id).tags
    assert own in tags
    assert outdated not in tags
    (place,) = re.findall(r"\[the report\]\((#/[^?]*)\?", tags[NOTE])
    _, number, _, run, _, name = place.split("/")[1:]
    assert (number, name) == (experiment.experiment_id, "index.html")
    assert client.get_run(run).info.run_name == "report"
