"""What the tests of the config share: a small config, and changes to it that are taken or refused."""

from __future__ import annotations

from typing import Any

import pytest

from descentlab.experiment.config import Config, ConfigError, parse_config

BASE: dict[str, Any] = {"experiment": "tiny", "problems": ["mlp"], "optimizers": ["sgd", "momentum"]}


def parsed(**changes: Any) -> Config:
    return parse_config({**BASE, **changes}, "here")


def refusal(raw: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(raw, "here")
    return str(caught.value)


def refusal_of(**changes: Any) -> str:
    return refusal({**BASE, **changes})


def problem(**keys: Any) -> list[dict[str, Any]]:
    return [{"problem": "mlp", **keys}]


def optimizer(**keys: Any) -> list[dict[str, Any]]:
    return [{"optimizer": "sgd", **keys}]
