"""The slides' convolutional network as Keras builds it today, layer by layer (slide "Cuenta de parámetros")."""

from __future__ import annotations

import keras
import pandas as pd

from descentlab.problems.builtin.slides_cnn import build_model
from descentlab.storage.tables import Column, check_table

SLIDES_NETWORK_COLUMNS: dict[str, Column] = {
    "layer": Column("str", "", "", "name"),
    "kind": Column("str", "", "", "Keras class"),
    "output_shape": Column("str", "", "", "as Keras prints it; None is the batch"),
    "parameters": Column("int64", "parameters", "", "as Keras counts them"),
}


def measure_slides_network() -> pd.DataFrame:
    """One row for each layer, in the order of the network (columns SLIDES_NETWORK_COLUMNS)."""
    rows = []
    with keras.device("cpu:0"):
        for layer in build_model().layers:
            shape = str(tuple(layer.output.shape))
            rows.append((layer.name, type(layer).__name__, shape, layer.count_params()))
    return check_table(
        pd.DataFrame(rows, columns=list(SLIDES_NETWORK_COLUMNS)), SLIDES_NETWORK_COLUMNS, "slides' network"
    )
