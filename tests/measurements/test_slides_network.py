"""The slides' network has the layers, shapes and parameters of the slide "Cuenta de parámetros"."""

from __future__ import annotations

from descentlab.measurements.slides_network import measure_slides_network

# The slide's table; its flatten layer is called flatten_7, as the seventh of its author's session.
ON_THE_SLIDE = [
    ("c1", "Conv2D", "(None, 28, 28, 32)", 320),
    ("mp1", "MaxPooling2D", "(None, 14, 14, 32)", 0),
    ("c2", "Conv2D", "(None, 7, 7, 64)", 18496),
    ("mp2", "MaxPooling2D", "(None, 3, 3, 64)", 0),
    ("flatten", "Flatten", "(None, 576)", 0),
    ("fc1", "Dense", "(None, 512)", 295424),
    ("fc2", "Dense", "(None, 10)", 5130),
]


def test_every_layer_is_the_slides() -> None:
    table = measure_slides_network()
    assert list(table.itertuples(index=False, name=None)) == ON_THE_SLIDE
    assert table["parameters"].sum() == 319_370
