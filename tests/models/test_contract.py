"""The contract of any Keras model: what is trained and evaluated here is what Keras would give.

For each model of ``zoo``: the updates of an optimizer are those of an eager Keras loop, an evaluation is ``model.evaluate``, the
same seed gives the same bits, and the model is trained the way it should be. That SGD's updates are Keras' is part of choosing
the way (:class:`~descentlab.training.engine.mode_trial.ModeTrials`), which refuses any other; here other optimizers are held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from descentlab.problems.base import Data, Problem
from descentlab.training.engine.any_trainer import AnyTrainer, make_trainer
from descentlab.training.engine.keras_model import new_metrics
from descentlab.training.engine.member import Evaluation, Member
from descentlab.training.engine.mode_trial import ModeTrial, ModeTrials
from descentlab.training.engine.modes import choose_mode
from descentlab.training.engine.trainable import for_keras, initial_variables, with_built_models
from models import zoo
from support.zoo_cases import one_of_a_kind

pytestmark = pytest.mark.usefixtures("device")

UPDATES, RATE = 5, 0.003
OPTIMIZERS: list[Callable[[], Any]] = [
    lambda: keras.optimizers.Adam(RATE),
    lambda: keras.optimizers.RMSprop(RATE),
    lambda: keras.optimizers.SGD(RATE, momentum=0.9, nesterov=True),
]
# How each is trained, and whether the compiled loop evaluates it: what its layers, its loss and its metric make of it.
EXPECTED = {
    ("xla", True): """
        vision_transformer token_weights flat_targets weighted_l2 quantiles smoothed_labels focal poisson
        metric_string gaussian_noise dropout keras_counter max_norm subclassed graph plain_gru plain_lstm
        sequence_to_sequence conv_lstm text_transformer text_bidirectional_lstm text_masked_lstm
        text_embedding_bag class_weights subclassed_classifier
    """,
    ("xla", False): """
        masked_loss ignore_class sum_reduction scalar_function float64_targets r2_score auc
        recall_at_precision f1_score top_two activity_regularizer experts recommender wide_and_deep
        masked_gru_characters class_weights_auc mean_iou precision_and_recall added_loss
    """,
    ("patches", True): """
        resnet mlp_mixer
    """,
    ("graph", True): """
        autoencoder xception augmented transfer fine_tuning unet_segmentation ctc ctc_function numpy_function
        mixed_bfloat16 siamese series_fcn series_transformer text_conv1d text_tied_embedding
    """,
    ("graph", False): """
        vae_add_loss pointnet
    """,
    ("keras", False): """
        vae_own_steps gan gan_of_parts denoiser spectral_normalization keras_random tf_random numpy_random tf_counter
        tf_variable distillation adversarial_step heads_list heads_dict heads_one_metric structured_data
        text_vectorization mixed_float16
    """,
}
# Small enough to train side by side, without anything that several members can't do at once, as XLA's loops.
WIDE = set(
    """
    token_weights flat_targets weighted_l2 quantiles smoothed_labels focal poisson metric_string gaussian_noise dropout
    keras_counter max_norm subclassed graph text_embedding_bag class_weights text_transformer vision_transformer
    subclassed_classifier
    """.split()
)
# Their gradients are sparse: with some optimizers XLA has no loop of several members, and a job trains them one at a time
# (tests/training/test_own_models.py).
SPARSE = {"text_embedding_bag", "text_transformer", "vision_transformer", "token_weights"}
WAYS = {name: way for way, names in EXPECTED.items() for name in names.split()}
NAMES = list(zoo.places())
ONE_OF_A_KIND = set(
    """
    vae_own_steps gan_of_parts resnet augmented ctc masked_loss ignore_class flat_targets float64_targets auc dropout
    keras_random tf_random numpy_random numpy_function activity_regularizer mixed_bfloat16 mixed_float16 subclassed
    subclassed_classifier recommender heads_dict structured_data masked_gru_characters plain_lstm text_embedding_bag
    class_weights class_weights_auc
    """.split()
)
# What Keras calls the metric and those beside it, where there are several.
BESIDE = {
    "class_weights": ["sparse_categorical_accuracy", "sparse_categorical_crossentropy"],
    "class_weights_auc": ["auc", "accuracy"],
    "precision_and_recall": ["precision", "recall"],
}
ROUNDING = {"mixed_bfloat16": 0.05}  # of a weight's movement: bfloat16 has 8 bits of it
# An eager loop draws other numbers: these are decided by a seed and by what was traced before.
BY_GLOBAL_SEED = {"keras_random", "tf_random"}
STATEFUL = {"tf_counter"}  # assigning its variables does not give a model the state that its layer has


@dataclass(frozen=True)
class Trained:
    """A model of the zoo, trained by the way that was chosen for it."""

    problem: Problem
    data: Data
    way: ModeTrial
    member: Member
    make_optimizer: Callable[[], Any]
    trainer: AnyTrainer
    weights: list[np.ndarray]
    evaluations: list[Evaluation]


def make_member(problem: Problem, data: Data, seed: int) -> Member:
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(data))[: UPDATES * problem.batch_size].reshape(UPDATES, -1).astype(np.int32)
    parts = np.arange(len(data)), np.arange(13)
    return Member(initial_variables(problem, seed), order, np.full(UPDATES, RATE, np.float32), parts, seed=seed)


def train(trainer: AnyTrainer, data: Data, member: Member) -> tuple[list[np.ndarray], list[Evaluation]]:
    evaluations = [evaluation for (evaluation,) in trainer.train_members(data, [member], [0, UPDATES])]
    return trainer.variables(), evaluations


def trained(name: str, turn: int = 0) -> Trained:
    """One of the optimizers by turns, so that each has models of every kind; ``turn`` 1 and 2 are the others."""
    problem = zoo.problem(name)
    data = problem.load_data(None)
    problem = with_built_models(problem, data)
    mode = choose_mode(problem.build_model(), "CPU", problem.batch_size)
    way = ModeTrials(problem, data, problem.batch_size).choose(tuple(dict.fromkeys((mode, "graph"))), fastest=False)
    make_optimizer = OPTIMIZERS[(NAMES.index(name) + turn) % len(OPTIMIZERS)]
    member = make_member(problem, data, 0)
    for width in (way.width, 1):
        trainer = make_trainer(problem, make_optimizer, way.mode, way.by_example, width)
        try:
            return Trained(problem, data, way, member, make_optimizer, trainer, *train(trainer, data, member))
        except tf.errors.InvalidArgumentError:
            if name not in SPARSE or width == 1:
                raise
    raise AssertionError("one member at a time either trains or raises")


def seeded_variables(problem: Problem) -> list[bool]:
    """Which of the model's variables are the state of random numbers."""
    return [variable.name == "seed_generator_state" for variable in problem.build_model().variables]


def is_random(case: Trained) -> bool:
    """Whether training drew random numbers, from a state that the model keeps or from a global one."""
    states = zip(seeded_variables(case.problem), case.member.initial, case.weights, strict=True)
    drawn = any(seeded and not np.array_equal(before, after) for seeded, before, after in states)
    return drawn or case.problem.name in BY_GLOBAL_SEED | {"numpy_random"}


def draws_as_keras(case: Trained) -> bool:
    """Whether the random numbers are those of an eager loop with the same seed, if there are any."""
    own = case.problem.name in BY_GLOBAL_SEED or case.way.mode in ("xla", "patches")
    return not (own and is_random(case))


def train_eagerly(case: Trained, optimizer: Any, updates: int) -> list[np.ndarray]:
    """Keras' own step in Python, on the same batches."""
    keras.utils.set_random_seed(case.member.seed)
    model = case.problem.build_model()
    for variable, value in zip(model.variables, case.member.initial, strict=True):
        variable.assign(value)
    model.compile(optimizer, case.problem.loss, case.problem.loss_weights, run_eagerly=True)
    for index in case.member.order[:updates]:
        rows = for_keras(case.data.rows(index).fields())
        model.train_on_batch(*rows, class_weight=case.problem.class_weight)
    return [np.asarray(variable).copy() for variable in model.variables]


def check_updates(case: Trained) -> None:
    """Equal within rounding: each variable's error, as a norm, against the norm of its movement.

    A weight that has no gradient but for rounding, such as a bias before BatchNormalization, moves at random under Adam and is
    left out. The norm rather than each element, for a gradient jumps where the input of a ReLU is zero within rounding: one
    channel of ``resnet`` leaves the others' 3e-8 at the third update, by 0.5 % of its movement.
    """
    eager = train_eagerly(case, case.make_optimizer(), UPDATES)
    once = train_eagerly(case, keras.optimizers.SGD(1.0), 1)
    for ours, theirs, start, first in zip(case.weights, eager, case.member.initial, once, strict=True):
        if theirs.size and np.abs(first.astype(np.float64) - start).max() > 1e-6:
            theirs = theirs.astype(np.float64)
            error, moved, size = map(np.linalg.norm, (ours - theirs, theirs - start, np.abs(theirs) + 1))
            assert error <= 1e-5 * size + ROUNDING.get(case.problem.name, 0.01) * moved


def check_evaluations(case: Trained) -> None:
    problem, metric = case.problem, case.problem.metric
    reached = [] if problem.name in STATEFUL else [case.weights]
    keras.utils.set_random_seed(case.member.seed)
    model = problem.build_model()
    metrics = new_metrics(problem.compiled_metrics())
    model.compile(loss=problem.loss, loss_weights=problem.loss_weights, metrics=metrics)
    for values, evaluation in zip([case.member.initial, *reached], case.evaluations, strict=False):
        for part, means in zip(case.member.parts, evaluation.means, strict=True):
            for variable, value in zip(model.variables, values, strict=True):
                variable.assign(value)
            x, y, weight = for_keras(case.data.rows(part).fields())
            logs = model.evaluate(
                x, y, sample_weight=weight, batch_size=problem.batch_size, verbose=0, return_dict=True
            )
            others = [key for key in logs if key != "loss" and not key.endswith("_loss")]
            key = others[0] if len(others) == 1 else metric.name
            assert means.loss + evaluation.penalty == pytest.approx(logs["loss"], rel=2e-5, abs=1e-6)
            key, *beside = BESIDE.get(problem.name, [key])
            assert means.metric == pytest.approx(float(np.mean(logs[key])), rel=2e-5, abs=1e-6)
            assert means.beside[: len(beside)] == pytest.approx([logs[name] for name in beside], rel=2e-5, abs=1e-6)
            if problem.class_weight is not None:
                weighted = np.array([problem.class_weight.get(int(label), 1.0) for label in case.data.y[part]])
                loss = model.evaluate(x, y, sample_weight=weighted, batch_size=problem.batch_size, verbose=0)[0]
                assert means.beside[-1] + evaluation.penalty == pytest.approx(loss, rel=2e-5, abs=1e-6)


def reseeded(case: Trained) -> Member:
    """The member with the random numbers of another seed, and nothing else of it."""
    other = initial_variables(case.problem, 1)
    variables = zip(seeded_variables(case.problem), other, case.member.initial, strict=True)
    return replace(case.member, initial=[new if seeded else old for seeded, new, old in variables], seed=1)


def check_bits(case: Trained) -> None:
    """Nothing of a training is left for the next, and of the random numbers only the seed decides."""
    trainer = case.trainer
    redrawn, _ = train(trainer, case.data, reseeded(case))
    other, _ = train(trainer, case.data, make_member(case.problem, case.data, 1))
    again, evaluations = train(trainer, case.data, case.member)
    assert [value.tobytes() for value in again] == [value.tobytes() for value in case.weights]
    assert [e.means for e in evaluations] == [e.means for e in case.evaluations]
    weights = [place for place, seeded in enumerate(seeded_variables(case.problem)) if not seeded]
    assert any(redrawn[place].tobytes() != again[place].tobytes() for place in weights) == is_random(case)
    if trainer.width > 1:
        both = [case.member, make_member(case.problem, case.data, 1)]
        *_, (ours, theirs) = trainer.train_members(case.data, both, [0, UPDATES])
        assert ours.means == case.evaluations[-1].means != theirs.means
        assert [value.tobytes() for value in trainer.variables(0)] == [value.tobytes() for value in case.weights]
        assert [value.tobytes() for value in trainer.variables(1)] == [value.tobytes() for value in other]


@pytest.mark.parametrize("name", one_of_a_kind(NAMES, ONE_OF_A_KIND))
def test_any_keras_model(name: str) -> None:
    case = trained(name)
    assert (case.way.mode, case.way.by_example) == WAYS[name]
    assert (case.way.width > 1) == (name in WIDE)
    check_evaluations(case)
    check_bits(case)
    if draws_as_keras(case):
        check_updates(case)


@pytest.mark.zoo
@pytest.mark.parametrize("turn", range(1, len(OPTIMIZERS)))
@pytest.mark.parametrize("name", NAMES)
def test_any_keras_model_with_the_other_optimizers(name: str, turn: int) -> None:
    case = trained(name, turn)
    if draws_as_keras(case):
        check_updates(case)
