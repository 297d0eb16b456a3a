"""The workflow while the store is away: everything but tracking is done, and the same command completes it later."""

from __future__ import annotations

from pathlib import Path

import yaml

from support.stored_experiment import assert_store_holds
from support.workflow_fixture import run_snakemake

TRAINING = "Training linear_regression"


def written_config(folder: Path, uri: str) -> Path:
    """A config of one run."""
    config = {
        "experiment": "away",
        "problems": [{"problem": "linear_regression", "epochs": 1, "mode": "graph"}],
        "optimizers": ["sgd"],
        "arms": ["default"],
        "seeds": {"final": 1},
        "measurements": [],
        "tracking": {"uri": uri},
    }
    path = folder / f"{len(list(folder.glob('*.yaml')))}.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_store_that_is_away_costs_neither_training_nor_report_and_is_completed_later(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.write_text("a file where the folder of the database should be")
    uri = f"sqlite:///{store}/mlflow.db"
    config = written_config(tmp_path, uri)
    away = run_snakemake(tmp_path, config=config)
    assert away.returncode != 0
    assert TRAINING in away.stdout
    assert (tmp_path / "reports/away/index.html").exists(), away.stdout
    message = f"descentlab: Logging to MLflow at {uri} failed with "
    assert away.stdout.count(message) == 3, "by rule store, by rule track, and at the end"
    assert away.stdout.count("Error in rule") == away.stdout.count("Error in rule track_report:") == 1, away.stdout

    store.unlink()
    back = run_snakemake(tmp_path, config=config)
    assert back.returncode == 0, back.stdout
    assert TRAINING not in back.stdout
    assert assert_store_holds(uri, tmp_path / "results/away") > 0

    moved = run_snakemake(tmp_path, "-n", config=written_config(tmp_path, f"sqlite:///{tmp_path}/other.db"))
    assert all(f"\nrule {name}:\n" in moved.stdout for name in ("store", "track", "track_report")), moved.stdout
