"""Optimizers that papers propose and Keras 3 lacks; ``from descentlab.optimizers.literature import Prodigy``.

Each is an ordinary ``keras.optimizers.Optimizer`` in a module of its own. A model that was saved with one of them can be loaded
once its class has been imported.
"""

from __future__ import annotations

import importlib
from typing import Any

_MODULES = {
    "AdaBelief": "adabelief",
    "AdEMAMix": "ademamix",
    "ADOPT": "adopt",
    "Lookahead": "lookahead",
    "Prodigy": "prodigy",
    "ScheduleFreeSGD": "schedule_free_sgd",
    "Signum": "signum",
    "SOAP": "soap",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a class when it is asked for: all of them need Keras, which takes seconds to import."""
    if name not in _MODULES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'; it has {', '.join(_MODULES)}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
