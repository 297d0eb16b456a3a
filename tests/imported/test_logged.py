"""What the report of an MLflow experiment refuses: one line that says what the store has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from descentlab.__main__ import main
from support.logged_experiment import log_run, new_store

NAMES = "optimizer or optimizer_name or opt_name"
CURVE = {"loss": [1.0, 0.5]}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store without runs, in the folder that the test runs in."""
    uri = new_store(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return uri


class Refusal:
    """What the verb says when it refuses; nothing is written then."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def of(self, *arguments: str, mapping: str = "") -> str:
        if mapping:
            Path("mapping.yaml").write_text(mapping)
            arguments += ("--mapping", "mapping.yaml")
        assert main(["report", *arguments]) == 2
        said = self.capsys.readouterr().err.splitlines()[-1]
        assert not Path("reports").exists()
        return said.removeprefix("descentlab: ")


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    return Refusal(capsys)


def test_a_store_that_is_not_there_is_not_made(store: str, refusal: Refusal, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/none.db"
    assert refusal.of("--mlflow-experiment", "e", "--tracking-uri", uri) == (
        f"MLflow's store must be there; received '{uri}', which is no file (--tracking-uri or MLFLOW_TRACKING_URI say where it "
        "is)"
    )
    assert not (tmp_path / "none.db").exists()


def test_a_server_that_does_not_answer_is_named_without_its_password(store: str, refusal: Refusal) -> None:
    said = refusal.of("--mlflow-experiment", "e", "--tracking-uri", "http://me:secret@localhost:1")
    assert said.startswith("MLflow at http://…@localhost:1 must answer; received MlflowException: ")
    assert "secret" not in said


def test_an_unknown_experiment(store: str, refusal: Refusal) -> None:
    log_run(store, "digits", {"optimizer": "adam"}, CURVE)
    assert refusal.of("--mlflow-experiment", "digit") == (
        "--mlflow-experiment: must be an experiment of the store; received 'digit', did you mean 'digits'? It has: Default, "
        "digits"
    )


def test_no_runs(store: str, refusal: Refusal) -> None:
    assert refusal.of("--mlflow-experiment", "Default") == "experiment 'Default': must have runs; it has none"
    log_run(store, "e", {"optimizer": "adam"}, CURVE)
    assert refusal.of("--mlflow-experiment", "e", mapping="filter: params.optimizer = 'sgd'\n") == (
        "experiment 'e': must have runs; it has none that 'params.optimizer = 'sgd'' finds"
    )
    said = refusal.of("--mlflow-experiment", "e", mapping="filter: optimizer sgd\n")
    assert said.startswith("MLflow at sqlite:///") and "must answer; received MlflowException: " in said


def test_no_run_with_an_optimizer(store: str, refusal: Refusal) -> None:
    log_run(store, "e", {"algo": "adam", "lr": 0.1}, CURVE)
    assert refusal.of("--mlflow-experiment", "e") == (
        f"experiment 'e': a run must say its optimizer in a parameter or tag called {NAMES}; none of 1 does. They have: algo, "
        "lr. A mapping says which it is (params: {optimizer: …})"
    )


def test_no_run_with_a_metric(store: str, refusal: Refusal) -> None:
    log_run(store, "e", {"optimizer": "adam"}, {"nll": [1.0]})
    assert refusal.of("--mlflow-experiment", "e") == (
        "experiment 'e': a run must have logged one of loss, test_loss, train_loss, training_loss, val_loss, valid_loss, "
        "validation_loss; none of 1 has. They have: nll. A mapping says which is which (metrics: {name: …, validation_loss: …})"
    )


def test_no_run_that_has_ended(store: str, refusal: Refusal) -> None:
    log_run(store, "e", {"optimizer": "adam"}, CURVE, status="RUNNING")
    assert refusal.of("--mlflow-experiment", "e") == "experiment 'e': a run must have ended; none of 1 has"


def test_a_seed_that_is_no_number(store: str, refusal: Refusal) -> None:
    run = log_run(store, "e", {"optimizer": "adam", "seed": "first"}, CURVE)
    assert refusal.of("--mlflow-experiment", "e") == (
        f"run {run}: a seed must be a whole number; received 'first' (of seed or random_seed or random_state; a mapping can name "
        "another: params: {seed: …})"
    )


def test_a_first_epoch_that_no_step_is(store: str, refusal: Refusal) -> None:
    log_run(store, "e", {"optimizer": "adam"}, CURVE)
    assert refusal.of("--mlflow-experiment", "e", mapping="first_epoch: 5\n") == (
        "first_epoch: must be 0, the least step that was logged, or the one after; received 5"
    )


def test_learning_rates_without_anything_to_choose_one_by(store: str, refusal: Refusal) -> None:
    for rate in (0.1, 0.2):
        log_run(store, "e", {"optimizer": "adam", "lr": rate}, CURVE)
    assert refusal.of("--mlflow-experiment", "e") == (
        "adam on e: to choose one of 2 learning rates, runs must have a validation metric or loss; none has. A mapping names "
        "them (metrics: {validation: …, validation_loss: …}) or takes some of the runs (filter: …)"
    )


def test_a_reference_that_was_not_run(store: str, refusal: Refusal) -> None:
    for name in ("adam", "lion"):
        log_run(store, "e", {"optimizer": name}, CURVE)
    assert refusal.of("--mlflow-experiment", "e", mapping="report: {reference: sgd}\n") == (
        "report.reference: must be one of the optimizers (adam, lion); received 'sgd'"
    )


def test_a_key_that_the_mapping_does_not_have(store: str, refusal: Refusal) -> None:
    assert refusal.of("--mlflow-experiment", "e", mapping="steps: epoch\n") == (
        "mapping.yaml: steps: unknown key 'steps', did you mean 'step'? Valid: params, metrics, optimizers, step, first_epoch, "
        "batch_size, updates_per_epoch, filter, report"
    )


def test_results_of_the_workflow_are_not_written_over(store: str, refusal: Refusal) -> None:
    log_run(store, "e", {"optimizer": "adam"}, CURVE)
    Path("results/e").mkdir(parents=True)
    Path("results/e/plan.json").write_text(json.dumps({"config": {}}))
    assert refusal.of("--mlflow-experiment", "e") == (
        "results/e: an imported experiment needs a folder of its own; this one holds other results (where they are the "
        "workflow's, 'report results/e' is their report)"
    )
    assert json.loads(Path("results/e/plan.json").read_text()) == {"config": {}}


def test_a_mapping_without_an_experiment(store: str, refusal: Refusal) -> None:
    assert refusal.of("results/e", "--mapping", "mapping.yaml") == (
        "report: --mapping and --tracking-uri belong to --mlflow-experiment, which is not given"
    )


@pytest.mark.parametrize("arguments", [[], ["results/e", "--mlflow-experiment", "e"]])
def test_a_report_is_of_one_thing(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["report", *arguments])


def test_a_deleted_experiment_is_not_there(store: str, refusal: Refusal) -> None:
    from mlflow.tracking import MlflowClient

    log_run(store, "gone", {"optimizer": "adam"}, CURVE)
    client = MlflowClient(store)
    found = client.get_experiment_by_name("gone")
    assert found is not None
    client.delete_experiment(found.experiment_id)
    assert refusal.of("--mlflow-experiment", "gone") == (
        "--mlflow-experiment: must be an experiment of the store; received 'gone'. It has: Default"
    )
