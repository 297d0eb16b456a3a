"""The arms of the protocol: how much of an optimizer is tuned (docs/protocol.md, "Arms")."""

from __future__ import annotations

from enum import StrEnum

LOGGED_ARM = "logged"  # the only arm of externally logged runs: how they were tuned is not known
SPEED_ARM = "tuned_for_speed"  # where times are compared: the tuned arm at the rate that was the fastest in tuning


class Arm(StrEnum):
    """What is tuned before the runs that count; results of different arms are never mixed."""

    DEFAULT = "default"  # nothing
    TUNED = "tuned"  # the learning rate
    EXTENDED = "extended"  # the learning rate, momentum, epsilon and schedule
