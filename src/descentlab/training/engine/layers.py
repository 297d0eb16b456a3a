"""The layers of a model, those inside of other layers too."""

from __future__ import annotations

from typing import Any


def every_layer(model: Any) -> list[Any]:
    """All layers inside of a model, at any depth.

    By Keras' private method: nothing public finds the layers of a layer that a reader wrote.
    """
    return list(model._flatten_layers(include_self=False, recursive=True))
