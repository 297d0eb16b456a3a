"""Where Keras departs from the slides or the paper, and the setting in which they agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from descentlab.optimizers.evaluation_weights import evaluation_weights
from support import optimizer_references as rules
from support.muon_reference import muon
from support.optimizer_trials import (
    MATRIX,
    MATRIX_GRADIENTS,
    TOLERANCE,
    VECTOR,
    VECTOR_GRADIENTS,
    amsgrad_rates,
    distance,
    slot,
    trained,
)
from support.schedule_free_reference import schedule_free_adamw

pytestmark = pytest.mark.usefixtures("device")


def keras_optimizer(name: str, **hyperparameters: Any) -> Any:
    import keras

    return getattr(keras.optimizers, name)(**hyperparameters)


def test_momentum_keeps_the_slides_velocity_with_the_other_sign() -> None:
    """Keras: velocity = μ velocity − αg and w += velocity. The weights are the slides', velocity is their −v."""
    optimizer = keras_optimizer("SGD", learning_rate=0.1, momentum=0.9)
    path, _ = trained(optimizer, VECTOR, VECTOR_GRADIENTS)
    weights, velocities = rules.momentum(VECTOR, VECTOR_GRADIENTS, 0.1, 0.9)
    np.testing.assert_allclose(path, weights, rtol=1e-6)
    np.testing.assert_allclose(optimizer.momentums[0], -velocities[-1], rtol=1e-5)


def test_nesterov_holds_the_weights_at_the_look_ahead() -> None:
    """So its first step is (1 + μ) times that of momentum, and θ itself is what the model would be without μv."""
    ahead = rules.nesterov(VECTOR, VECTOR_GRADIENTS[:1], 0.1, 0.9)[0]
    plain = rules.momentum(VECTOR, VECTOR_GRADIENTS[:1], 0.1, 0.9)[0][0]
    np.testing.assert_allclose(ahead - VECTOR, 1.9 * (plain - VECTOR))
    assert (
        distance(
            keras_optimizer("SGD", learning_rate=0.1, momentum=0.9, nesterov=True),
            [ahead],
            VECTOR,
            VECTOR_GRADIENTS[:1],
        )
        < 1e-6
    )


def test_adagrad_differs_from_the_slides_by_accumulator_epsilon_and_rate() -> None:
    """Keras' sum starts at 0.1 and its ε is inside the root. With 0 for both and a rate of 1 they agree."""
    slides = rules.slides_adagrad(VECTOR, VECTOR_GRADIENTS, eps=0.0)
    same = {"learning_rate": 1.0, "initial_accumulator_value": 0.0, "epsilon": 0.0}
    assert distance(keras_optimizer("Adagrad", **same), slides, VECTOR, VECTOR_GRADIENTS) < 1e-6
    for changed in ({"initial_accumulator_value": 0.1}, {"epsilon": 0.01}, {"learning_rate": 0.5}):
        other = keras_optimizer("Adagrad", **(same | changed))
        assert distance(other, slides, VECTOR, VECTOR_GRADIENTS) > 0.01
    # The same ε, inside the root and outside, is not the same rule: √(g² + ε) against √g² + ε.
    inside = rules.adagrad(VECTOR, VECTOR_GRADIENTS, 1.0, inside=0.01, start=0.0)
    outside = rules.slides_adagrad(VECTOR, VECTOR_GRADIENTS, eps=0.01)
    assert np.max(np.abs(np.subtract(inside, outside))) > 0.01


def test_rmsprop_has_epsilon_inside_the_root_and_agrees_with_the_lecture_without_it() -> None:
    lecture = rules.rmsprop(VECTOR, VECTOR_GRADIENTS, 0.01, 0.9, inside=0.0)
    without = keras_optimizer("RMSprop", learning_rate=0.01, rho=0.9, epsilon=0.0)
    assert distance(without, lecture, VECTOR, VECTOR_GRADIENTS) < 1e-5
    with_it = keras_optimizer("RMSprop", learning_rate=0.01, rho=0.9, epsilon=0.01)
    assert distance(with_it, lecture, VECTOR, VECTOR_GRADIENTS) > 0.01


def test_adam_has_epsilon_hat_and_agrees_with_algorithm_1_without_epsilon() -> None:
    algorithm_1 = rules.adam(VECTOR, VECTOR_GRADIENTS, 0.01, 0.9, 0.999, 0.0, hat=False)
    without = keras_optimizer("Adam", learning_rate=0.01, epsilon=0.0)
    assert distance(without, algorithm_1, VECTOR, VECTOR_GRADIENTS) < TOLERANCE
    # ε̂ is ε √(1−β₂ᵗ), so at the first update Keras' 0.01 is algorithm 1's 0.01 / √0.001.
    one = VECTOR_GRADIENTS[:1]
    with_hat = keras_optimizer("Adam", learning_rate=0.01, epsilon=0.01)
    equivalent = rules.adam(VECTOR, one, 0.01, 0.9, 0.999, 0.01 / np.sqrt(0.001), hat=False)
    assert distance(with_hat, equivalent, VECTOR, one) < TOLERANCE
    again = keras_optimizer("Adam", learning_rate=0.01, epsilon=0.01)
    assert distance(again, rules.adam(VECTOR, one, 0.01, 0.9, 0.999, 0.01, hat=False), VECTOR, one) > 0.1


def test_amsgrad_keeps_the_bias_correction_that_the_paper_leaves_out() -> None:
    """At a constant rate they differ; with the correction moved into the paper's α_t they agree."""
    one = VECTOR_GRADIENTS[:1]
    paper = rules.amsgrad(VECTOR, one, [0.01], 0.9, 0.999, 0.0)
    corrected = rules.amsgrad(VECTOR, one, amsgrad_rates(0.01, 1), 0.9, 0.999, 0.0)
    first, second = (keras_optimizer("Adam", learning_rate=0.01, epsilon=0.0, amsgrad=True) for _ in range(2))
    assert distance(first, corrected, VECTOR, one) < TOLERANCE
    assert distance(second, paper, VECTOR, one) > 0.5


def test_amsgrad_remembers_the_largest_second_moment() -> None:
    """After one large gradient and many small ones its steps stay smaller than Adam's (the paper's point)."""
    gradients = [np.array([10.0]), *[np.array([0.01])] * 50]
    paths = [
        np.ravel(
            trained(
                keras_optimizer("Adam", learning_rate=0.01, beta_1=0.0, beta_2=0.9, amsgrad=amsgrad),
                np.zeros(1),
                gradients,
            )[0]
        )
        for amsgrad in (False, True)
    ]
    adam_step, amsgrad_step = (abs(path[-1] - path[-2]) for path in paths)
    assert 0 < amsgrad_step < adam_step / 10


@pytest.mark.parametrize("name", ["AdamW", "Lion"])
def test_decoupled_decay_is_multiplied_by_the_learning_rate(name: str) -> None:
    """AdamW's paper multiplies λ by the schedule η_t alone; Keras by the rate, so its λ is the paper's over α."""
    rate, decay = 0.01, 0.5
    if name == "AdamW":
        expected = rules.adam(VECTOR, VECTOR_GRADIENTS, rate, 0.9, 0.999, 1e-7, hat=True, decay=decay)
    else:
        expected = rules.lion(VECTOR, VECTOR_GRADIENTS, rate, 0.9, 0.99, decay)
    optimizer = keras_optimizer(name, learning_rate=rate, weight_decay=decay)
    assert distance(optimizer, expected, VECTOR, VECTOR_GRADIENTS) < TOLERANCE


def test_adamax_has_an_epsilon_that_the_paper_has_not() -> None:
    paper = rules.adamax(VECTOR, VECTOR_GRADIENTS, 0.01, 0.9, 0.999, 0.0)
    assert distance(keras_optimizer("Adamax", learning_rate=0.01, epsilon=0.0), paper, VECTOR, VECTOR_GRADIENTS) < 1e-6
    assert distance(keras_optimizer("Adamax", learning_rate=0.01, epsilon=0.01), paper, VECTOR, VECTOR_GRADIENTS) > 1e-3
    # It is what keeps a weight that has had no gradient from 0/0.
    path, _ = trained(keras_optimizer("Adamax", learning_rate=0.01), np.ones(1), [np.zeros(1)])
    np.testing.assert_array_equal(path[0], [1.0])


def test_nadam_warms_its_momentum_up_250_times_faster_than_the_paper() -> None:
    """Keras has 0.96^t where Dozat has 0.96^(t/250), and decays m with β₁; once warm (μ = β₁) they agree."""
    paper = rules.nadam(VECTOR, VECTOR_GRADIENTS, 0.01, 0.9, 0.999, 1e-7, exponent=1 / 250, scheduled_m=True)
    cold = keras_optimizer("Nadam", learning_rate=0.01)
    assert distance(cold, paper, VECTOR, VECTOR_GRADIENTS) > 0.01
    done = 100_000
    warm_paper = rules.nadam(
        VECTOR, VECTOR_GRADIENTS, 0.01, 0.9, 0.999, 1e-7, exponent=1 / 250, scheduled_m=True, done=done
    )
    warm = keras_optimizer("Nadam", learning_rate=0.01)
    warm.iterations.assign(done)
    assert distance(warm, warm_paper, VECTOR, VECTOR_GRADIENTS) < TOLERANCE


def test_adadelta_is_zeilers_only_at_a_rate_of_one() -> None:
    zeiler = rules.adadelta(VECTOR, VECTOR_GRADIENTS, 1.0, 0.95, 1e-6)
    one = keras_optimizer("Adadelta", learning_rate=1.0, epsilon=1e-6)
    assert distance(one, zeiler, VECTOR, VECTOR_GRADIENTS) < TOLERANCE
    default = keras_optimizer("Adadelta", epsilon=1e-6)
    assert distance(default, zeiler, VECTOR, VECTOR_GRADIENTS) == pytest.approx(0.999, abs=1e-4)


def test_adafactor_is_the_papers_at_a_rate_of_a_hundredth() -> None:
    paper = rules.adafactor(MATRIX, MATRIX_GRADIENTS, most=1e-2)
    same = keras_optimizer("Adafactor", learning_rate=0.01)
    assert distance(same, paper, MATRIX, MATRIX_GRADIENTS) < TOLERANCE
    default = keras_optimizer("Adafactor")  # Keras' default rate is 0.001: a tenth of the paper's
    assert distance(default, paper, MATRIX, MATRIX_GRADIENTS) == pytest.approx(0.9, abs=0.01)


def test_adafactor_gives_nan_where_a_row_and_a_column_had_no_gradient() -> None:
    """ε₁ = 1e-30 is all that the row's and the column's means hold.

    Their product is below single precision's least number, and 0/√0 is NaN. In double precision the formula leaves
    those weights alone.
    """
    gradient = MATRIX_GRADIENTS[0].copy()
    gradient[0], gradient[:, 0] = 0, 0
    path, _ = trained(keras_optimizer("Adafactor", learning_rate=0.01), MATRIX, [gradient])
    expected = rules.adafactor(MATRIX, [gradient], most=1e-2)[0]
    assert np.isnan(path[0]).any()
    np.testing.assert_array_equal(expected[0], MATRIX[0])


def test_ftrl_is_the_papers_from_an_accumulator_and_weights_of_zero() -> None:
    """Keras' λ₂ counts twice (l2 · w² against λ₂/2 · w²); its accumulator starts at 0.1 and its β at 0."""
    zeros = np.zeros(3)
    paper = rules.ftrl(zeros, VECTOR_GRADIENTS, 0.5, beta=1.0, l1=0.2, l2=0.6)
    same = {
        "learning_rate": 0.5,
        "beta": 1.0,
        "l1_regularization_strength": 0.2,
        "l2_regularization_strength": 0.3,
        "initial_accumulator_value": 0.0,
    }
    assert distance(keras_optimizer("Ftrl", **same), paper, zeros, VECTOR_GRADIENTS) < 1e-5
    other = keras_optimizer("Ftrl", **(same | {"initial_accumulator_value": 0.1}))
    assert distance(other, paper, zeros, VECTOR_GRADIENTS) > 0.01


def test_ftrl_throws_the_initial_weights_away() -> None:
    """A weight without a gradient is set to zero at the first update, whatever it was: z = 0 stands for w = 0."""
    path, _ = trained(keras_optimizer("Ftrl", learning_rate=0.1), VECTOR, [np.array([0.0, 0.1, 0.0])])
    np.testing.assert_array_equal(path[0][[0, 2]], [0.0, 0.0])


def test_lamb_leaves_weight_decay_out_of_its_ratio() -> None:
    """The paper decays inside the ratio ‖x‖/‖r + λx‖, Keras outside it; at λ = 0 they agree (above)."""
    paper = rules.lamb(MATRIX, MATRIX_GRADIENTS, 0.01, 0.9, 0.999, 1e-7, decay=0.5)
    keras_decay = keras_optimizer("Lamb", learning_rate=0.01, weight_decay=0.5)
    assert distance(keras_decay, paper, MATRIX, MATRIX_GRADIENTS) > 0.01


def test_muon_scales_as_moonlight_and_is_jordans_without_that() -> None:
    jordan = muon(MATRIX, MATRIX_GRADIENTS, 0.02, 0.95, 0.0, scaled=False)
    plain = keras_optimizer("Muon", learning_rate=0.02, rms_rate=None, weight_decay=None)
    assert distance(plain, jordan, MATRIX, MATRIX_GRADIENTS) < TOLERANCE
    scaled = keras_optimizer("Muon", learning_rate=0.02, weight_decay=None)
    assert distance(scaled, jordan, MATRIX, MATRIX_GRADIENTS) == pytest.approx(1 - 0.2 * np.sqrt(3), abs=0.01)


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (5, 5)])
def test_muon_steps_are_nearly_orthogonal(shape: tuple[int, int]) -> None:
    """Whatever the gradient's singular values, those of the step are near one: Jordan et al. state 0.7 to 1.2."""
    gradient = np.random.default_rng(3).normal(size=shape) * np.logspace(0, -0.5, shape[1])
    optimizer = keras_optimizer("Muon", learning_rate=1.0, rms_rate=None, weight_decay=None)
    path, _ = trained(optimizer, np.zeros(shape), [gradient])
    values = np.linalg.svd(path[0], compute_uv=False)
    assert 0.65 < values.min() <= values.max() < 1.25


def test_schedule_free_is_the_papers_at_the_first_update_and_where_beta_1_is_one() -> None:
    """β₁ = 1 means y = x: nothing has to be recovered, so the places where Keras departs don't matter."""
    rates = [0.01] * 3
    one, three = VECTOR_GRADIENTS[:1], VECTOR_GRADIENTS
    paper, _ = schedule_free_adamw(VECTOR, one, rates[:1], 0.9, 0.999, 1e-8)
    assert distance(keras_optimizer("ScheduleFreeAdamW", learning_rate=0.01), paper, VECTOR, one) < TOLERANCE
    paper, _ = schedule_free_adamw(VECTOR, three, rates, 1.0, 0.999, 1e-8)
    averaged = keras_optimizer("ScheduleFreeAdamW", learning_rate=0.01, beta_1=1.0)
    assert distance(averaged, paper, VECTOR, three) < TOLERANCE


def test_schedule_free_recovers_the_average_with_the_wrong_z() -> None:
    """Keras 3.15 remembers ``momentum.value`` before it updates momentum.

    On TensorFlow that is the variable, not its value, so x is recovered from y with the new z, and is no average of the
    z's any more.

    When this test fails Keras has mended it: then ``keras_recovery`` can go.
    """
    rates = [0.01] * 3
    paper, average = schedule_free_adamw(VECTOR, VECTOR_GRADIENTS, rates, 0.9, 0.999, 1e-8)
    optimizer = keras_optimizer("ScheduleFreeAdamW", learning_rate=0.01)
    path, variable = trained(optimizer, VECTOR, VECTOR_GRADIENTS)
    moved = np.max(np.abs(np.subtract(paper, VECTOR)))
    assert np.max(np.abs(np.subtract(path, paper))) > 0.03 * moved
    # What is evaluated is the x that Keras goes on with.
    evaluated = evaluation_weights(optimizer, [variable])
    assert evaluated is not None
    _, recovered = schedule_free_adamw(
        VECTOR, VECTOR_GRADIENTS, rates, 0.9, 0.999, 1e-8, equal_weights=True, keras_recovery=True
    )
    np.testing.assert_allclose(evaluated[0], recovered[-1], atol=TOLERANCE * moved)
    assert np.max(np.abs(recovered[-1] - average[-1])) > 0.03 * moved


def test_schedule_free_averages_equally_under_a_changing_rate() -> None:
    """The paper weighs z_t by γ_t²; Keras by 1 whatever the rate. β₁ = 1 leaves this difference alone."""
    import keras

    rates = [0.02, 0.01, 0.005]
    optimizer = keras_optimizer("ScheduleFreeAdamW", learning_rate=0.02, beta_1=1.0)
    variable = keras.Variable(VECTOR.astype(np.float32))
    optimizer.build([variable])
    path = []
    for rate, gradient in zip(rates, VECTOR_GRADIENTS, strict=True):
        optimizer.learning_rate.assign(rate)
        optimizer.apply([keras.ops.convert_to_tensor(gradient.astype(np.float32))], [variable])
        path.append(np.asarray(variable).copy())
    equal, _ = schedule_free_adamw(VECTOR, VECTOR_GRADIENTS, rates, 1.0, 0.999, 1e-8, equal_weights=True)
    paper, _ = schedule_free_adamw(VECTOR, VECTOR_GRADIENTS, rates, 1.0, 0.999, 1e-8)
    moved = np.max(np.abs(np.subtract(equal, VECTOR)))
    np.testing.assert_allclose(path, equal, atol=TOLERANCE * moved)
    assert np.max(np.abs(np.subtract(path, paper))) > 0.1 * moved


def test_schedule_free_decays_y_and_never_z() -> None:
    """The paper's decay shrinks z. Keras shrinks y and then takes all of that from x: z is what it is without decay."""
    rates = [0.01] * 3
    decayed, plain = (
        keras_optimizer("ScheduleFreeAdamW", learning_rate=0.01, weight_decay=decay) for decay in (0.5, None)
    )
    expected, _ = schedule_free_adamw(
        VECTOR, VECTOR_GRADIENTS, rates, 0.9, 0.999, 1e-8, decay=0.5, equal_weights=True, keras_recovery=True
    )
    assert distance(decayed, expected, VECTOR, VECTOR_GRADIENTS) < TOLERANCE
    trained(plain, VECTOR, VECTOR_GRADIENTS)
    np.testing.assert_array_equal(slot(decayed, "momentum"), slot(plain, "momentum"))
