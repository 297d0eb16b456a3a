"""What a results folder has to compare."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest

from descentlab.analysis.comparison import TABLES
from descentlab.analysis.contrasts import declared_pairs
from descentlab.experiment.plan import TrainingPlan
from descentlab.report.diff.rows import (
    COLUMNS,
    WRITTEN_BY,
    Estimated,
    ResultError,
    choices_of,
    pieces_of,
    read_result,
)
from descentlab.report.diff.settings import flatten, member_of
from descentlab.storage.tables import TableError
from support.comparison_fixture import imported_plan, with_optimizer
from support.results_fixture import write_results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("results") / "generated")


@pytest.fixture
def copy(results: Path, tmp_path: Path) -> Path:
    """The folder, to be broken."""
    return Path(shutil.copytree(results, tmp_path / "copy"))


def test_leaves_of_a_plan_are_known_by_their_path() -> None:
    plan = {
        "config": {
            "seeds": {"final": 6},
            "arms": ["default", "tuned"],
            "optimizers": [{"optimizer": "adam", "name": "slow"}],
        },
        "trials": [{"rate": 1}, {"rate": 2}],
        "measurements": [],
        "paths": {},
    }
    assert flatten(plan) == {
        ("config", "seeds", "final"): 6,
        ("config", "arms"): ["default", "tuned"],
        ("config", "optimizers", "slow", "optimizer"): "adam",
        ("config", "optimizers", "slow", "name"): "slow",
        ("trials", "0", "rate"): 1,
        ("trials", "1", "rate"): 2,
        ("measurements",): [],
        ("paths",): {},
    }


def test_items_of_one_name_are_known_by_their_place() -> None:
    assert flatten([{"name": "a", "x": 1}, {"name": "a", "x": 2}]) == {
        ("0", "name"): "a",
        ("0", "x"): 1,
        ("1", "name"): "a",
        ("1", "x"): 2,
    }


@pytest.mark.parametrize(
    ("path", "member"),
    [
        (("problems", "mlp", "margin"), ("problems", "mlp")),
        (("config", "problems", "mlp", "epochs"), ("problems", "mlp")),
        (("runs", "mlp"), ("problems", "mlp")),
        (("optimizers", "adam", "grid"), ("optimizers", "adam")),
        (("config", "optimizers", "adam", "beta_1"), ("optimizers", "adam")),
        (("config", "sweep", "optimizers"), None),
        (("versions", "keras"), None),
    ],
)
def test_a_setting_may_belong_to_a_problem_or_an_optimizer(path: tuple[str, ...], member: object) -> None:
    assert member_of(path) == member


def test_a_bound_leaves_its_interval_open() -> None:
    def allowed(bound: str) -> tuple[float, float]:
        return Estimated(2.0, 1.0, 3.0, 5, bound).allowed

    assert allowed("") == (1.0, 3.0)
    assert allowed("at least") == (1.0, math.inf)
    assert allowed("at most") == (-math.inf, 3.0)
    assert allowed("unknown") == (-math.inf, math.inf)


MLP = "problem: problem=mlp"


def test_pieces_of_one_name_are_all_kept() -> None:
    piece = {
        "place": {"code": "problem", "problem": "mlp"},
        "unit": "loss",
        "estimate": None,
        "low": "-inf",
        "high": 2.0,
        "n": 3,
        "bound": "",
        "verdict": "inconclusive",
        "size": "",
        "remarks": [],
    }
    found = pieces_of({"id": "c", "pieces": [piece, {**piece, "high": 3.0}, {**piece, "unit": "decades"}]})
    assert list(found) == [("c", MLP, "loss"), ("c", f"{MLP} (2)", "loss"), ("c", MLP, "decades")]
    assert [one.high for one in found.values()] == [2.0, 3.0, 2.0]
    first = found["c", MLP, "loss"]
    assert math.isnan(first.estimate) and first.low == -math.inf


def test_the_extended_arms_choice_is_a_choice_too() -> None:
    selection = {
        "problem": "p",
        "optimizer": "o",
        "learning_rate": 0.1,
        "edge": "",
        "grid": [0.1],
        "extended": {"learning_rate": 0.3, "schedule": "cosine", "hyperparameters": {"beta_1": 0.5}},
    }
    assert choices_of(selection) == {
        ("p", "o", "learning_rate"): 0.1,
        ("p", "o", "edge"): None,
        ("p", "o", "extended.learning_rate"): 0.3,
        ("p", "o", "extended.schedule"): "cosine",
        ("p", "o", "extended.hyperparameters.beta_1"): 0.5,
    }


def test_every_row_of_the_folder_is_read(results: Path) -> None:
    found = read_result(results)
    assert (found.experiment, found.commit, found.language) == ("generated", "abc", "en")
    assert found.higher_is_better == {"up": True, "down": False}
    sizes = {kind: len(rows) for kind, rows in found.tables.items()}
    claims = json.loads((results / "claims.json").read_text())
    rows = 2 * 2 * 5  # problems, arms, optimizers
    pairs = declared_pairs(["gd", "sgd", "momentum", "adam", "rmsprop"], "momentum")
    assert sizes["members"] == 2 + 5
    assert sizes["claims"] == len(claims) == len(found.statements)
    assert sizes["pieces"] == sum(len(entry["pieces"]) for entry in claims)
    assert (sizes["finals"], sizes["runs"], sizes["contrasts"]) == (rows, rows, 2 * 2 * len(pairs))
    assert sizes["rates"] == 2 * 5 * 2
    speed = pd.read_parquet(results / "comparison/speed.parquet")
    assert sizes["speed"] == (speed["optimizer"] != "sgd").sum() > 0


def test_numbers_are_those_of_the_tables(results: Path) -> None:
    tables = read_result(results).tables
    row = pd.read_parquet(results / "comparison/contrasts.parquet").query(
        "problem == 'down' and arm == 'tuned' and first == 'adam' and second == 'sgd'"
    )
    found = tables["contrasts"]["down", "tuned", "adam", "sgd", "accuracy"]
    assert found == Estimated(*row[["difference_mean", "low", "high"]].iloc[0], 6, "", "better")
    assert tables["runs"]["up", "default", "adam"] == {"finished": 6}
    assert tables["rates"]["up", "rmsprop", "edge"] == "high"
    assert tables["settings"]["config", "seeds", "final"] == 6


def test_an_imported_experiment_has_its_runs_commits(copy: Path) -> None:
    imported_plan(["abc", "def"]).write(copy / "plan.json")
    assert read_result(copy).commit == "abc, def"
    imported_plan([]).write(copy / "plan.json")
    assert read_result(copy).commit == "unknown"


def test_how_runs_are_cut_into_jobs_is_no_setting(results: Path) -> None:
    assert not any(path[0] == "jobs" for path in read_result(results).tables["settings"])


def test_a_nan_is_equal_to_itself(copy: Path) -> None:
    plan = with_optimizer(TrainingPlan.read(copy), "adam", hyperparameters={"tuned": {"clipnorm": math.nan}})
    plan.write(copy / "plan.json")
    path = "optimizers", "adam", "hyperparameters", "tuned", "clipnorm"
    assert read_result(copy).tables["settings"][path] == read_result(copy).tables["settings"][path] == "NaN"


@pytest.mark.parametrize("name", WRITTEN_BY)
def test_a_missing_file_is_named_with_what_writes_it(copy: Path, name: str) -> None:
    (copy / name).unlink()
    verb = {"plan.json": "", "selections.json": "collect"}.get(name, "compare")
    command = f"python -m descentlab {verb} {copy}" if verb else "snakemake --cores all --configfile CONFIG"
    with pytest.raises(ResultError) as raised:
        read_result(copy)
    assert str(raised.value) == (
        f"{copy}: a results folder must have plan.json, selections.json, claims.json, comparison/contrasts.parquet, "
        f"comparison/summary.parquet, comparison/speed.parquet; '{name}' is missing. Run: {command}"
    )


def test_no_folder_at_all_is_said_likewise(tmp_path: Path) -> None:
    with pytest.raises(
        ResultError, match=r"nowhere: a results folder must have .*; 'plan.json' is missing. Run: snakemake"
    ):
        read_result(tmp_path / "nowhere")


def test_files_that_hold_something_else_are_refused(copy: Path) -> None:
    (copy / "comparison/speed.parquet").write_text("no table")
    with pytest.raises(
        ResultError, match=r"speed\.parquet: must be a parquet table; .* Run: python -m descentlab compare"
    ):
        read_result(copy)
    (copy / "claims.json").write_text("[")
    with pytest.raises(ResultError, match=r"claims\.json: must be JSON; .* Run: python -m descentlab compare"):
        read_result(copy)
    shutil.copy(copy / "selections.json", copy / "claims.json")
    shutil.copy(copy / "comparison/summary.parquet", copy / "comparison/speed.parquet")
    with pytest.raises(TableError, match=r"speed\.parquet: not the declared columns; missing: \['target'"):
        read_result(copy)


def test_a_plan_of_another_shape_is_refused(copy: Path) -> None:
    content = TrainingPlan.read(copy).as_json()
    del content["versions"]
    (copy / "plan.json").write_text(json.dumps(content))
    with pytest.raises(ResultError, match=r"plan\.json: versions: this key is required\. Plan again"):
        read_result(copy)
    (copy / "plan.json").write_text("[]")
    with pytest.raises(ResultError, match=r"plan\.json: a plan must be a mapping; received list"):
        read_result(copy)


def test_selections_of_another_shape_are_refused(copy: Path) -> None:
    (copy / "selections.json").write_text('[{"problem": "up"}]')
    with pytest.raises(
        ResultError, match=r"must be as this version writes them; KeyError: .* Run: python -m descentlab collect"
    ):
        read_result(copy)


def test_columns_that_are_not_compared_may_come_and_go(copy: Path) -> None:
    path = copy / "comparison/contrasts.parquet"
    table = pd.read_parquet(path)
    table.drop(columns=["effect_size", "seeds_needed"]).assign(new=1).to_parquet(path, index=False)
    assert len(read_result(copy).tables["contrasts"]) == len(table)


def test_what_is_read_of_a_table_is_declared() -> None:
    for name, columns in COLUMNS.items():
        assert set(columns) <= set(TABLES[name])
