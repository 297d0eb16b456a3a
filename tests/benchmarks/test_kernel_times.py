"""Times of kernels from a profile that is written out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.kernel_times import kernel_times, kind_of, self_times

SECOND = 10**12  # picoseconds


def test_time_inside_another_event_is_that_events_own() -> None:
    times, counts = self_times([(6, 1, "c"), (0, 10, "a"), (2, 3, "b"), (3, 1, "c"), (10, 2, "a")])
    assert dict(times) == {"a": 8, "b": 2, "c": 2}
    assert dict(counts) == {"a": 2, "b": 1, "c": 2}
    assert sum(times.values()) == 12


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("model/fc1/Relu:_FusedMatMul", "products of matrices"),
        ("gradient_tape/model/MatMul/MatMul_1:MatMul", "products of matrices"),
        ("MatMul_1.38", "products of matrices"),
        ("dot.203", "products of matrices"),
        ("gradient_tape/model/mp1/MaxPool2d/MaxPoolGrad:MaxPoolGrad", "MaxPoolGrad"),
        ("gradient_tape/c1/Conv2DBackpropFilter:Conv2DBackpropFilter", "Conv2DBackpropFilter"),
        ("end: loop_add_fusion.6", "loop_add_fusion"),
    ],
)
def test_kinds_of_kernels(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def profile_of(*threads: dict[str, tuple[int, int]]) -> Any:
    """Each thread's events by name, with begin and duration in seconds."""
    names = {number: name for number, name in enumerate(dict.fromkeys(name for thread in threads for name in thread))}
    numbers = {name: number for number, name in names.items()}
    lines = [
        SimpleNamespace(
            events=[
                SimpleNamespace(offset_ps=begin * SECOND, duration_ps=duration * SECOND, metadata_id=numbers[name])
                for name, (begin, duration) in thread.items()
            ]
        )
        for thread in threads
    ]
    metadata = {number: SimpleNamespace(name=name) for number, name in names.items()}
    return SimpleNamespace(planes=[SimpleNamespace(event_metadata=metadata, lines=lines)])


def test_threads_that_wait_for_another_count_for_nothing() -> None:
    waiting = {"BlockUntilReady": (0, 10), "KernelAndDeviceFunc::Run": (10, 5)}
    working = {"ThunkExecutor::Execute": (0, 10), "MatMul.1": (1, 4), "end: MatMul.1": (5, 1), "a/add:AddV2": (7, 2)}
    times, counts = kernel_times(profile_of(waiting, working))
    assert dict(times) == {"products of matrices": 5 * SECOND, "AddV2": 2 * SECOND}
    assert (counts["products of matrices"], counts["AddV2"]) == (1, 1)
