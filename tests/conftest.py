"""What the tests share: TensorFlow started once, as a job starts it."""

from __future__ import annotations

import os

import pytest

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"  # read when TensorFlow is first imported, which a test module may do


@pytest.fixture(scope="session")
def device() -> str:
    """Threads and memory set before TensorFlow starts; the device's name.

    A module whose tests compute with TensorFlow asks for it: ``pytestmark = pytest.mark.usefixtures("device")``.
    """
    from descentlab.engine import configure_device

    return configure_device()
