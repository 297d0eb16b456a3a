"""A tracking server that is slow, fails or is shared: said in one line; a later track completes the store, each run once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from descentlab.tracking.track import TrackError
from support.faulty_server import GIVEN, LOST, REFUSED, Faults, faulty_proxy, running_server
from support.forked_trackers import renamed, run_in_children, stored, write_copy
from support.tracked_jobs import DATABASE, track, write_tracked

pytestmark = pytest.mark.usefixtures("own_folder")
CREATE = "/runs/create"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with jobs, and a database without a server that holds them."""
    return write_tracked(tmp_path_factory.mktemp("undisturbed"), ("adam",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The server's."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    with running_server(folder) as address:
        yield address


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's client sends a failed request again at once."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")


def whole(undisturbed: Path, experiment: str) -> Counter[tuple[Any, ...]]:
    """What the server's store must hold of an experiment in the end: the same as one without a server."""
    return renamed(stored(undisturbed / DATABASE), experiment)


def held(folder: Path, experiment: str) -> Counter[tuple[Any, ...]]:
    """What it holds of it."""
    contents = stored(folder / "mlflow.db")
    return Counter({row: count for row, count in contents.items() if experiment in f"{row[0]} {row[1]}".split()})


def test_a_slow_server_gets_four_calls_a_run(undisturbed: Path, folder: Path, server: str) -> None:
    """What a server that takes 5 s a call costs is 5 s times the number of calls: here they are counted, at 20 ms."""
    results, faults = write_copy(undisturbed, "slow"), Faults(delay_seconds=0.02)
    with faulty_proxy(server, faults) as proxy:
        track(proxy, results)
        assert held(folder, "slow") == whole(undisturbed, "slow")
        runs = sum(call.endswith(CREATE) for call in faults.calls)
        assert runs == 8
        assert len(faults.calls) <= 4 * runs + 24, faults.calls
        faults.calls.clear()
        track(proxy, results)
        assert len(faults.calls) <= 8, faults.calls


def test_of_three_calls_one_fails(undisturbed: Path, folder: Path, server: str) -> None:
    results = write_copy(undisturbed, "unsteady")
    faults = Faults(lambda number, _: REFUSED if number % 3 == 0 else GIVEN)
    with faulty_proxy(server, faults) as proxy:
        track(proxy, results)
    assert held(folder, "unsteady") == whole(undisturbed, "unsteady")


def test_a_server_that_fails_for_a_while_is_one_line_and_a_later_track_completes(
    undisturbed: Path, folder: Path, server: str
) -> None:
    results, faults = write_copy(undisturbed, "failing"), Faults()
    with faulty_proxy(server, faults) as proxy:
        for given in (0, 5, 12, 29):
            last = len(faults.calls) + given
            faults.fate = lambda number, _, last=last: GIVEN if number <= last else REFUSED
            with pytest.raises(TrackError) as refused:
                track(proxy, results)
            assert str(refused.value) == (
                f"Logging to MLflow at {proxy} failed with ResponseError: too many 500 error responses. The results are safe "
                "in their files; track again when MLflow works (tracking.uri or MLFLOW_TRACKING_URI sets its address)"
            )
        assert held(folder, "failing") != whole(undisturbed, "failing")
        faults.fate = lambda *_: GIVEN
        track(proxy, results)
    assert held(folder, "failing") == whole(undisturbed, "failing")


def test_what_the_server_did_and_the_client_does_not_know_of_is_there_once(
    undisturbed: Path, folder: Path, server: str
) -> None:
    """The client sends it again, as it does with a request that takes longer than its patience."""
    results, asked = write_copy(undisturbed, "lost"), Counter[str]()

    def fate(_: int, address: str) -> str:
        asked[address] += 1
        lost = address.endswith(("/experiments/create", CREATE, "/runs/log-batch")) and asked[address] % 2
        return LOST if lost else GIVEN

    with faulty_proxy(server, Faults(fate)) as proxy:
        track(proxy, results)
    assert sum(asked[address] for address in asked if address.endswith(CREATE)) == 2 * 8
    assert held(folder, "lost") == whole(undisturbed, "lost")


def test_trackers_of_two_experiments_share_a_server(undisturbed: Path, folder: Path, server: str) -> None:
    names = ("one", "other")
    results = [write_copy(undisturbed, name) for name in names]

    def track_or_say(each: Path) -> None:
        """A tracker may fail if another one began the same run at the same moment and ended first."""
        try:
            track(server, each)
        except TrackError as error:
            assert "track again" in str(error)

    works: list[Callable[[], object]] = [partial(track_or_say, each) for each in results * 2]
    assert run_in_children(works) == [0] * len(works)
    for name, each in zip(names, results, strict=True):
        track(server, each)
        assert held(folder, name) == whole(undisturbed, name)
