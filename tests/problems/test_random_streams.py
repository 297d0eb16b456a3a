"""The random streams: one each, derived from names, never from the optimizer."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from descentlab.problems.random_streams import STREAMS, data_order, stream_generator, stream_seed

TRAIN = np.array([3, 5, 8, 13, 21, 34])


def test_a_seed_is_the_first_four_bytes_of_a_sha256() -> None:
    """Written out by hand, so that a stream can be derived without this code."""
    digest = hashlib.sha256(b"mlp\x007\x00order").hexdigest()
    assert stream_seed("mlp", 7, "order") == int(digest[:8], 16) % 2**31


def test_same_names_same_seed_any_other_name_another() -> None:
    seeds = {
        (problem, seed, stream): stream_seed(problem, seed, stream)
        for problem in ("mlp", "mlp1", "digits_cnn")
        for seed in (0, 1, 10, 1000)
        for stream in STREAMS
    }
    assert all(stream_seed(*names) == seed for names, seed in seeds.items())
    assert len(set(seeds.values())) == len(seeds) == 3 * 4 * len(STREAMS)
    assert all(0 <= seed < 2**31 for seed in seeds.values())


def test_generators_by_seed() -> None:
    first, same, other = (stream_generator("mlp", seed, "split").random(4) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_an_unknown_stream_is_refused() -> None:
    with pytest.raises(ValueError) as caught:
        stream_seed("mlp", 0, "wieghts")
    assert str(caught.value) == (
        "a random stream must be one of test split, split, weights, order, dropout, steps, trial; received 'wieghts'"
    )


@pytest.mark.parametrize("batch_size", [1, 2, 3, 6])
def test_every_epoch_holds_each_example_once(batch_size: int) -> None:
    order = data_order("mlp", 0, TRAIN, batch_size, epochs=4)
    assert (order.shape, order.dtype) == ((4 * 6 // batch_size, batch_size), np.int32)
    for epoch in order.reshape(4, -1):
        np.testing.assert_array_equal(np.sort(epoch), TRAIN)


def test_epochs_differ_from_each_other() -> None:
    order = data_order("mlp", 0, np.arange(100), 10, epochs=2)
    assert not np.array_equal(order[:10], order[10:])


def test_order_by_seed() -> None:
    first, same, other = (data_order("mlp", seed, TRAIN, 2, 3) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


def test_a_longer_budget_begins_alike() -> None:
    np.testing.assert_array_equal(data_order("mlp", 0, TRAIN, 2, 5)[:9], data_order("mlp", 0, TRAIN, 2, 3))


def test_full_batch_is_one_row_in_the_splits_order() -> None:
    order = data_order("mlp", 0, TRAIN, 0, epochs=4)
    assert order.dtype == np.int32
    np.testing.assert_array_equal(order, TRAIN[None, :])
