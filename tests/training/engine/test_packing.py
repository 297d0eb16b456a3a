"""Values packed by type and taken out again, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from descentlab.training.engine.packing import Packing

pytestmark = pytest.mark.usefixtures("device")

ROW = [
    np.array([[1.0, 2.0], [3.0, 4.0]], np.float32),
    np.array(7, np.int32),
    np.array([5.0], np.float32),
    np.array([8, 9], np.uint32),
    np.array([], np.float32),
]
OTHER = [value + np.ones((), value.dtype) for value in ROW]


def test_one_array_of_each_type_in_the_order_of_the_variables() -> None:
    packed = Packing(ROW).from_rows([ROW, OTHER])
    assert [array.dtype for array in packed] == [np.float32, np.int32, np.uint32]
    np.testing.assert_array_equal(packed[0], [[1, 2, 3, 4, 5], [2, 3, 4, 5, 6]])
    np.testing.assert_array_equal(packed[1], [[7], [8]])
    np.testing.assert_array_equal(packed[2], [[8, 9], [9, 10]])


def test_every_member_is_taken_out_as_it_was() -> None:
    packing = Packing(ROW)
    packed = packing.from_rows([ROW, OTHER])
    for member, row in enumerate((ROW, OTHER)):
        for value, expected in zip(packing.row(packed, member), row, strict=True):
            assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
            np.testing.assert_array_equal(value, expected)


def test_tensors_are_unpacked_and_packed_to_the_same() -> None:
    import tensorflow as tf

    packing = Packing(ROW)
    packed = packing.from_rows([ROW, OTHER])
    values = packing.unpack([tf.constant(array) for array in packed])
    for value, one, other in zip(values, ROW, OTHER, strict=True):
        np.testing.assert_array_equal(value, np.stack([one, other]))
    for again, array in zip(packing.pack(values), packed, strict=True):
        np.testing.assert_array_equal(again, array)
