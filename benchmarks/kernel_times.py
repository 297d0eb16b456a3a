"""``python -m benchmarks.kernel_times MODEL``: where the time of an update goes, by TensorFlow's own profiler, on one thread.

The models are those of ``make bench``; the mode is the one that a plan chooses on this machine.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.engine import cnn_case, sgemm_rate, step_operations
from benchmarks.engine_against_fit import LEARNING_RATE, SEED, Case, choose_way, make_adam
from benchmarks.models import model_cases
from descentlab.problems.random_streams import data_order
from descentlab.problems.splits import split_data
from descentlab.training.engine.any_trainer import make_trainer
from descentlab.training.engine.device import configure_device
from descentlab.training.engine.member import Member
from descentlab.training.engine.trainable import initial_variables

LEAST_SHARE = 0.01  # kinds below are shown as one
END = "end: "  # of a kernel that XLA started before: an event of its own
PRODUCTS = re.compile(r"(_Fused)?(Batch)?MatMul(V2)?|dot")
# Threads that wait for another's kernels, and the calls that start them.
WAITING = re.compile(r"BlockUntilReady|::|^(Eager|TFE_|tf\.|__inference|Executor|while|call)|ThunkExecutor")

Event = tuple[int, int, str]  # begin, duration, name


def self_times(events: Iterable[Event]) -> tuple[Counter[str], Counter[str]]:
    """The time of each name without that of the events inside its own, and how many events it has.

    Args:
        events: of one thread; each lies inside another or beside it.

    Example:
        >>> times, counts = self_times([(0, 10, "step"), (2, 3, "MatMul"), (6, 1, "MatMul")])
        >>> dict(times), counts["MatMul"]
        ({'step': 6, 'MatMul': 4}, 2)
    """
    times: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    around: list[tuple[int, str]] = []  # the ends and names of the events that have begun
    for begin, duration, name in sorted(events, key=lambda event: (event[0], -event[1])):
        while around and around[-1][0] <= begin:
            around.pop()
        if around:
            times[around[-1][1]] -= duration
        times[name] += duration
        counts[name] += 1
        around.append((begin + duration, name))
    return times, counts


def kind_of(name: str) -> str:
    """What a kernel computes: TensorFlow's operation, or the name of XLA's kernel without its number.

    Example:
        >>> [kind_of(name) for name in ("model/fc1/MatMul:MatMul", "MatMul_1.38", "gradient/mp1/MaxPoolGrad:MaxPoolGrad")]
        ['products of matrices', 'products of matrices', 'MaxPoolGrad']
        >>> kind_of("end: loop_add_fusion.6")
        'loop_add_fusion'
    """
    plain = re.sub(r"(_\d+)?(\.\d+)*$", "", name.removeprefix(END).rpartition(":")[2])
    return "products of matrices" if PRODUCTS.fullmatch(plain) else plain


def kernel_times(space: Any) -> tuple[Counter[str], Counter[str]]:
    """Picoseconds of each kind of kernel in a profile, and how many ran."""
    picoseconds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for plane in space.planes:
        names = {number: metadata.name for number, metadata in plane.event_metadata.items()}
        for line in plane.lines:
            events = [(event.offset_ps, event.duration_ps, names[event.metadata_id]) for event in line.events]
            times, of_line = self_times(events)
            for name, time in times.items():
                if not WAITING.search(name):
                    picoseconds[kind_of(name)] += time
                    counts[kind_of(name)] += 0 if name.startswith(END) else of_line[name]
    return picoseconds, counts


def profile(case: Case) -> str:
    """A table of the kinds of kernels by their share of an epoch without validation, with Adam."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    problem = case.problem
    split = split_data(problem, case.data, SEED, problem.batch_size, case.train_examples)
    way = choose_way(case)
    trainer = make_trainer(problem, make_adam, way.mode, way.by_example)
    order = data_order(problem.name, SEED, split.train, problem.batch_size, 1)
    rates = np.full(len(order), LEARNING_RATE, np.float32)
    member = Member(initial_variables(problem, SEED), order, rates, (split.val[:1],))

    def train() -> float:
        first, last = (found for (found,) in trainer.train_members(case.data, [member], [0, len(order)]))
        return last.train_seconds - first.train_seconds

    train()
    undisturbed = min(train() for _ in range(3))
    peak = sgemm_rate()
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        train()
        tf.profiler.experimental.stop()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    times, counts = kernel_times(space)
    total, updates = sum(times.values()), len(order)
    lines = [f"{problem.name}, mode {way.mode}: {1e3 * undisturbed / updates:.3g} ms an update"]
    if problem.name == "slides_cnn":
        share = step_operations(problem.build_model()) * len(split.train) / undisturbed / peak
        lines[0] += f", {share:.0%} of sgemm's {peak / 1e9:.0f} GFLOPS"
    shown = {kind: time for kind, time in times.most_common() if time >= LEAST_SHARE * total}
    lines += [f"{time / total:6.1%}  {counts[kind] / updates:7.1f} an update  {kind}" for kind, time in shown.items()]
    rest = 1 - sum(shown.values()) / total
    return "\n".join([*lines, f"{rest:6.1%}  others"])


def main() -> None:
    """Profile the models that are named."""
    configure_device()
    cases = {case.problem.name: case for case in (cnn_case(), *model_cases())}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernel_times", description=__doc__)
    parser.add_argument("models", nargs="+", choices=cases)
    for name in parser.parse_args().models:
        print(profile(cases[name]), flush=True)


if __name__ == "__main__":
    main()
