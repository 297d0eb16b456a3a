"""What the report of an MLflow experiment refuses: one line that says what the store has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from descentlab.__main__ import main
from support.logged_experiment import log_run

NAMES = "optimizer or optimizer_name or opt_name"
CURVE = {"loss": [1.0, 0.5]}


class Refusal:
    """What the verb says when it refuses; nothing is written then."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def of(self, *arguments: str, mapping: str = "") -> str:
        if mapping:
            Path("mapping.yaml").write_text(mapping)
            arguments += ("--mapping", "mapping.yaml")
        assert main(["report", *arguments]) == 2
        message = self.capsys.readouterr().err.splitlines()[-1]
        assert not Path("reports").exists()
        return message.removeprefix("descentlab: ")


@pytest.fixture
def refusal(capsys: pytest.CaptureFixture[str]) -> Refusal:
    return Refusal(capsys)


def test_a_store_that_is_not_there_is_not_made(store: str, refusal: Refusal, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/none.db"
    assert refusal.of("--mlflow-experiment", "e", "--tracking-uri", uri) == (
        f"No MLflow store at '{uri}': the file doesn't exist. Set its address by --tracking-uri or MLFLOW_TRACKING_URI"
    )
    assert not (tmp_path / "none.db").exists()


def test_a_server_that_does_not_answer_is_named_without_its_password(store: str, refusal: Refusal) -> None:
    message = refusal.of("--mlflow-experiment", "e", "--tracking-uri", "http://me:secret@localhost:1")
    assert message.startswith("Reading from MLflow at http://…@localhost:1 failed with MlflowException: ")
    assert "secret" not in message


def test_an_unknown_experiment(store: str, refusal: Refusal) -> None:
    log_run(store, "digits", {"optimizer": "adam"}, CURVE)
    assert refusal.of("--mlflow-experiment", "digit") == (
        "--mlflow-experiment: the store has no experiment 'digit', did you mean 'digits'? Its experiments: Default, digits"
    )


def test_no_runs(store: str, refusal: Refusal) -> None:
    assert refusal.of("--mlflow-experiment", "Default") == "experiment 'Default' has no runs"
    log_run(store, "e", {"optimizer": "adam"}, CURVE)
    assert refusal.of("--mlflow-experiment", "e", mapping="filter: params.optimizer = 'sgd'\n") == (
        "experiment 'e' has no runs that match the filter \"params.optimizer = 'sgd'\""
    )
    message = refusal.of("--mlflow-experiment", "e", mapping="filter: optimizer sgd\n")
    assert message.startswith("Reading from MLflow at sqlite:///") and " failed with MlflowException: " in message


def test_no_run_with_an_optimizer(store: str, refusal: Refusal) -> None:
    log_run(store, "e", {"algo": "adam", "lr": 0.1}, CURVE)
    assert refusal.of("--mlflow-experiment", "e") == (
        f"experiment 'e': no run names its optimizer in a parameter or tag called {NAMES} (runs: 1; logged: algo, lr). Name the "
        "right one in a mapping (params: {optimizer: …})"
    )


def test_no_run_with_a_metric(store: str, refusal: Refusal) -> None:
    log_run(store, "e", {"optimizer": "adam"}, {"nll": [1.0]})
    assert refusal.of("--mlflow-experiment", "e") == (
        "experiment 'e': no run logged any of loss, test_loss, train_loss, training_loss, val_loss, valid_loss, validation_loss "
        "(runs: 1; logged: nll). Name the right ones in a mapping (metrics: {name: …, validation_loss: …})"
    )


def test_no_run_that_has_ended(store: str, refusal: Refusal) -> None:
    log_run(store, "e", {"optimizer": "adam"}, CURVE, status="RUNNING")
    assert refusal.of("--mlflow-experiment", "e") == (
        "experiment 'e': no run has ended yet (runs: 1). Try again when one has"
    )


def test_a_seed_that_is_no_number(store: str, refusal: Refusal) -> None:
    run = log_run(store, "e", {"optimizer": "adam", "seed": "first"}, CURVE)
    assert refusal.of("--mlflow-experiment", "e") == (
        f"run {run}: a seed must be a whole number; received 'first' (logged as seed or random_seed or random_state; a mapping "
        "can name another parameter: params: {seed: …})"
    )


def test_a_first_epoch_that_no_step_is(store: str, refusal: Refusal) -> None:
    log_run(store, "e", {"optimizer": "adam"}, CURVE)
    assert refusal.of("--mlflow-experiment", "e", mapping="first_epoch: 5\n") == (
        "first_epoch: must be 0, the lowest logged step, or 1; received 5"
    )


def test_learning_rates_without_anything_to_choose_one_by(store: str, refusal: Refusal) -> None:
    for rate in (0.1, 0.2):
        log_run(store, "e", {"optimizer": "adam", "lr": rate}, CURVE)
    assert refusal.of("--mlflow-experiment", "e") == (
        "adam on e: no run has a validation metric or loss by which to choose one of 2 learning rates. In a mapping, name these "
        "metrics (metrics: {validation: …, validation_loss: …}) or select the runs of one learning rate (filter: …)"
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
        "results/e holds results that were not imported; importing would overwrite them. Move them to another folder first (if "
        "the workflow made them, 'report results/e' writes their report)"
    )
    assert json.loads(Path("results/e/plan.json").read_text()) == {"config": {}}


def test_a_mapping_without_an_experiment(store: str, refusal: Refusal) -> None:
    assert refusal.of("results/e", "--mapping", "mapping.yaml") == (
        "report: --mapping and --tracking-uri need --mlflow-experiment, which is missing"
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
        "--mlflow-experiment: the store has no experiment 'gone'. Its experiments: Default"
    )
