"""The standard models: their sizes, what each optimizer keeps of them, and data of the right shape."""

from __future__ import annotations

import pytest

from descentlab.experiment.step_cost import LARGE_MODEL, MODELS
from descentlab.measurements.standard_models import build_large_model, standard_problem
from descentlab.optimizers.build import build
from descentlab.optimizers.table import OPTIMIZERS
from descentlab.training.engine.stateless_optimizer import state_bytes

pytestmark = pytest.mark.usefixtures("device")

# Muon keeps two variables for what Adam trains (biases, the last layer), Adafactor a row and a column for a matrix but as
# much as it finds for a vector: on the 319,370 parameters both keep between 1 and 1.1.
SLOTS = {
    0: ("gd", "sgd"),
    1: ("momentum", "nesterov", "adagrad", "rmsprop", "lion"),
    2: ("adam", "adamw", "adamax", "nadam", "adadelta", "ftrl", "lamb", "schedule_free_adamw"),
    3: ("amsgrad",),
}


def test_slots_are_the_protocols() -> None:
    """Section 7's table, on the slides' convolutional network; sizes of variables only, so nothing is compiled."""
    model = standard_problem("slides_cnn", "CPU").problem.build_model()
    assert model.count_params() == 319_370
    found = {}
    for name, entry in OPTIMIZERS.items():
        optimizer = build(entry, "tuned", entry.center_learning_rate)
        optimizer.build(model.trainable_variables)
        found[name] = state_bytes(optimizer) / 4 / 319_370
    exact = {name: slots for slots, names in SLOTS.items() for name in names}
    assert {name: found[name] for name in exact} == exact
    assert set(found) - set(exact) == {"muon", "adafactor"}
    assert 1 < found["muon"] < 1.1
    assert 1 < found["adafactor"] < 1.1


def test_the_large_model_has_ten_million_parameters() -> None:
    assert build_large_model().count_params() == 10_041_354


@pytest.mark.parametrize("name", [*MODELS, LARGE_MODEL])
def test_data_fit_the_model_and_fill_a_batch(name: str) -> None:
    standard = standard_problem(name, "CPU")
    assert standard.data.x.shape[1:] == standard.problem.build_model().input_shape[1:]
    assert len(standard.split(0).train) >= standard.batch_size == 32
    assert standard.mode == ("graph" if name == "slides_cnn" else "xla")


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(ValueError, match="slides_mlp, mlp, slides_cnn, large; received 'cnn'"):
        standard_problem("cnn", "CPU")
