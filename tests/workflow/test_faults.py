"""Damaged files, full disks, two workflows in one folder: noticed, said in one line, and gone on from."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from descentlab.experiment.config import parse_config
from descentlab.experiment.records import EXAMPLES, RUNS
from descentlab.storage.tables import TableError, check_table, read_table, write_table
from descentlab.training.cache import load_result
from descentlab.training.make_plan import make_plan
from support.same_results import assert_same_tables
from support.small_disk import small_disk
from support.workflow_fixture import ROOT, run_verb, snakemake_command, workflow_environment

PROBLEM = "logistic_regression"
TABLES = f"results/e/train/{PROBLEM}"
TRAIN = ("train", "results/e/plan.json", "--problem", PROBLEM, "--job", "0")
PACKAGE = ROOT / "src/descentlab"
FULL = (
    r"could not be written: {why}, after [\d,]+ bytes, with [\d,]+ bytes free\. No part of it was kept; fix the cause and "
    r"run the same command again"
)

WRITERS = {
    "write_text",
    "write_bytes",
    "to_csv",
    "to_parquet",
    "to_json",
    "savefig",
    "save",
    "savez",
    "write_table",
    "dump",
}
IN_PLACE = re.compile(r"# in place: \w+")  # on a call's line or the one above: why half of it is never read


def writes(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls that write a file, but for those inside a block that no reader sees until it has ended."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.With) and any(
            isinstance(part, ast.Name | ast.Attribute)
            and ast.unparse(part).endswith(("written_aside", "TemporaryDirectory"))
            for item in node.items
            for part in ast.walk(item.context_expr)
        ):
            continue
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            modes = [
                part.value for part in [*node.args, *(k.value for k in node.keywords)] if isinstance(part, ast.Constant)
            ]
            opens = called == "open" and any(isinstance(mode, str) and set(mode) & set("wax+") for mode in modes)
            given = len(node.args) - (called == "dump")  # what is dumped is no file
            if opens or (called in WRITERS and isinstance(node.func, ast.Attribute) and given > 0):
                yield node
        yield from writes(node)


def written_in_place(source: str) -> list[str]:
    """The lines that write a file where a reader may find half of it, and don't say why none does."""
    lines = ["", *source.splitlines()]
    return [
        lines[call.lineno].strip()
        for call in writes(ast.parse(source))
        if not any(IN_PLACE.search(line) for line in lines[call.lineno - 1 : call.lineno + 1])
    ]


def test_every_file_is_written_aside_or_its_line_says_why_not() -> None:
    found = {str(path): written_in_place(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("path.write_text(text)", True),
        ("path.write_text(text)  # in place: a lock", False),
        ("path.write_text(text)  # in place:", True),
        ("path.open('w')", True),
        ("path.open()", False),
        ("json.dump(text, file)", True),
        ("ast.dump(tree)", False),
        ("figure.savefig(path)", True),
        ("with written_aside(path) as aside: aside.write_text(text)", False),
    ],
)
def test_a_file_that_is_written_in_place_is_seen(line: str, seen: bool) -> None:
    assert written_in_place(line) == ([line] if seen else [])


def some_table() -> pd.DataFrame:
    return pd.DataFrame({"run_id": ["a", "b", "b"], "example": [1, 2, 3], "score": [0.5, np.nan, -np.nan]})


def test_a_flipped_bit_of_a_table_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "examples.parquet"
    write_table(some_table(), EXAMPLES, path)
    whole, right = path.read_bytes(), check_table(some_table(), EXAMPLES, "here")
    noticed = 0
    for at, bit in enumerate(np.random.default_rng(0).integers(0, 8, len(whole))):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << int(bit))]) + whole[at + 1 :])
        try:
            assert_frame_equal(read_table(path, EXAMPLES), right, check_exact=True)
        except TableError:
            noticed += 1
    assert noticed > len(whole) / 4


@pytest.mark.parametrize("damage", ["cut", "zeroed", "empty", "value"])
def test_a_damaged_table_is_one_line(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "examples.parquet"
    write_table(some_table(), EXAMPLES, path)
    whole = path.read_bytes()
    value = whole.replace(np.float64(0.5).tobytes(), np.float64(0.25).tobytes())
    path.write_bytes({"cut": whole[:-50], "zeroed": bytes(len(whole)), "empty": b"", "value": value}[damage])
    with pytest.raises(TableError) as refused:
        read_table(path, EXAMPLES)
    message = str(refused.value)
    assert message.startswith(f"{path}: damaged (")
    assert message.endswith("); delete it and run the same command again: finished runs come from the cache")
    assert "\n" not in message
    if damage == "value":
        assert "(its values do not match its sha256)" in message


# Every writer with room for 1,000 bytes, which none of them finds enough.
LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np, pandas as pd
from descentlab.training.cache import store_result
from descentlab.training.run_result import RunResult
from descentlab.experiment.records import EXAMPLES
from descentlab.storage.tables import write_table
from descentlab.storage.atomic import write_text
table = pd.DataFrame({"run_id": "a", "example": range(9999), "score": np.random.default_rng(0).random(9999)})
result = RunResult({}, table, np.ones(9999), [])
writers = [
    lambda: write_text(Path("here/page.html"), "x" * 9999),
    lambda: write_table(table, EXAMPLES, Path("here/examples.parquet")),
    lambda: store_result(Path("here"), "ab12", result),
]
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for write in writers:
    try:
        write()
    except OSError as error:
        print(error)
"""


def test_a_file_that_finds_no_room_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here/page.html").write_text("before")
    done = subprocess.run([sys.executable, "-c", LIMITED], cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 3, done.stdout
    for line, file in zip(lines, ("page.html", "examples.parquet", "ab/ab12.npz"), strict=True):
        assert re.fullmatch(f"here/{file}: {FULL.format(why='.*File too large')}", line), line
    assert {path.name: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == {"page.html": "before"}


@pytest.fixture(scope="module")
def undisturbed(device: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plan and its one trained job."""
    del device
    folder = tmp_path_factory.mktemp("undisturbed")
    config = {
        "experiment": "e",
        "problems": [{"problem": PROBLEM, "epochs": 1, "mode": "graph"}],
        "optimizers": ["sgd"],
        "arms": ["default"],
        "seeds": {"final": 3},
    }
    (folder / "results/e").mkdir(parents=True)
    make_plan(parse_config(config, "test")).write(folder / "results/e/plan.json")
    trained = run_verb(folder, *TRAIN)
    assert trained.returncode == 0, trained.stdout
    return folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts a tmpfs")
def test_a_full_disk_ends_the_job_and_it_goes_on_when_there_is_room(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    with small_disk(folder, 1):
        (folder / "results/e").mkdir(parents=True)
        shutil.copy(undisturbed / "results/e/plan.json", folder / "results/e/plan.json")
        filler, tables = folder / "filler", folder / "results/e/train"
        # First there is no room in the cache, then none for the tables.
        for room, place in ((16_384, "results/cache"), (8_192, "results/e")):
            filler.unlink(missing_ok=True)
            if place == "results/e":
                shutil.copytree(undisturbed / "results/cache", folder / "results/cache", dirs_exist_ok=True)
            filler.write_bytes(bytes(shutil.disk_usage(folder).free - room))
            full = run_verb(folder, *TRAIN)
            assert full.returncode == 2, full.stdout
            last = full.stdout.splitlines()[-1]
            assert re.fullmatch(rf"descentlab: {place}/\S+: {FULL.format(why='.*No space left on device.*')}", last), (
                last
            )
            written = [path for path in (folder / "results").rglob("*") if path.is_file()]
            assert not any(path.name.startswith(".") for path in written)
            assert not list(tables.rglob("*.history.parquet"))
            for path in (folder / "results/cache").rglob("*.npz"):
                assert load_result(folder / "results/cache", path.stem, pytest.fail) is not None
        filler.unlink()
        resumed = run_verb(folder, *TRAIN)
        assert resumed.returncode == 0, resumed.stdout
        assert_same_tables(folder / TABLES, undisturbed / TABLES, "0.")


def test_a_damaged_run_is_trained_anew_and_a_damaged_table_is_named(undisturbed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(undisturbed, tmp_path / "copy"))
    cached = sorted((folder / "results/cache").rglob("*.npz"))
    content = bytearray(cached[0].read_bytes())
    content[len(content) // 2] ^= 1
    cached[0].write_bytes(content)
    history = Path("results/e/train") / PROBLEM / "0.history.parquet"
    (folder / history).write_bytes((folder / history).read_bytes()[:-100])

    refused = run_verb(folder, "collect", "results/e")
    assert refused.returncode == 2
    assert refused.stdout.splitlines()[-1].startswith(f"descentlab: {history}: damaged (")
    (folder / history).unlink()
    again = run_verb(folder, *TRAIN)
    assert again.returncode == 0, again.stdout
    path = cached[0].relative_to(folder)
    assert (
        f"cache: {path} is damaged; the run will be trained again (ValueError: its content does not match its sha256)"
    ) in again.stdout
    assert "3 of 3 runs (1 trained)" in again.stdout
    assert_same_tables(folder / TABLES, undisturbed / TABLES, "0.")


def test_collect_names_the_job_that_has_no_tables(undisturbed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(undisturbed, tmp_path / "copy"))
    (folder / "results/e/train" / PROBLEM / "0.history.parquet").unlink()
    collected = run_verb(folder, "collect", "results/e")
    assert collected.returncode == 0, collected.stdout
    assert (
        f"{PROBLEM}, job 0 (sgd): no tables at results/e/train/{PROBLEM}/0.*, so its runs are missing\n"
        f"sgd on {PROBLEM}: 3 runs missing; {PROBLEM}.sgd.default.final.lr=0.01.seed=0: planned, and not among the results\n"
    ) in collected.stdout
    assert set(read_table(folder / "results/e/runs.parquet", RUNS)["status"]) == {"missing"}


def test_two_workflows_in_one_folder_are_told_of_each_other(tmp_path: Path) -> None:
    command = snakemake_command(tmp_path, "--cores", "1", "--", "results/test/plan.json")
    environment = workflow_environment()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as first:
        deadline = time.monotonic() + 120
        while not list((tmp_path / ".snakemake/locks").glob("*.lock")):
            assert first.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        second = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
        output, _ = first.communicate(timeout=300)
    assert first.returncode == 0, output
    assert second.returncode != 0
    assert "Error: Directory cannot be locked" in second.stdout + second.stderr
    assert "--unlock" in second.stdout + second.stderr
    assert "Traceback" not in second.stdout + second.stderr
