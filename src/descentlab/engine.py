"""Compiled training: whole stretches of updates in one call, batches gathered on the device.

One :class:`Trainer` compiles a (problem, optimizer) once and then trains any number of members (seeds × learning rates)
one after the other: between members variables are assigned, so nothing is traced again. What the compiled loop does to a
Keras model is what ``model.fit`` does; what it can't do is refused by name (:func:`check_trainable`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from descentlab.optimizers import evaluation_weights
from descentlab.problems.base import Data, Problem, ProblemError
from descentlab.streams import stream_seed

CHUNK = 512  # examples an evaluation takes at once


def check_trainable(problem: Problem, model: Any) -> None:
    """Refuse, by name, a model that the compiled loop would not train as ``fit`` does.

    Raises:
        ProblemError: what the model does, and what can be trained.
    """
    import keras

    where = f"problem '{problem.name}'"
    if not isinstance(model, keras.Model):
        raise ProblemError(f"{where}: build_model must return a keras.Model; received {type(model).__name__}")
    for method in ("train_step", "compute_loss"):
        if getattr(type(model), method) is not getattr(keras.Model, method):
            raise ProblemError(f"{where}: a model with its own {method} can't be trained; give its loss to the Problem")
    if not model.built or not getattr(model, "outputs", None):
        raise ProblemError(
            f"{where}: the model must be a built Sequential or functional one; begin it with keras.Input"
        )
    if len(model.outputs) != 1:
        raise ProblemError(f"{where}: a model must have one output; received {len(model.outputs)}")
    if not model.trainable_variables:
        raise ProblemError(f"{where}: the model has no trainable variable")
    for tensor in model.inputs:
        if getattr(tensor, "sparse", False) or getattr(tensor, "ragged", False) or tensor.dtype == "string":
            raise ProblemError(f"{where}: inputs must be dense arrays of numbers; received {tensor}")


def initial_variables(problem: Problem, seed: int) -> list[np.ndarray]:
    """Every variable of a new model: weights from the stream ``weights``, random layers' state from ``dropout``."""
    import keras

    keras.utils.set_random_seed(stream_seed(problem.name, seed, "weights"))
    model = problem.build_model()
    values = []
    for number, variable in enumerate(model.variables):
        value = np.asarray(variable)
        if variable.name == "seed_generator_state":
            value = np.array([(stream_seed(problem.name, seed, "dropout") + number) % 2**31, 0], dtype=value.dtype)
        values.append(value)
    return values


def training_loss(loss: Any) -> Any:
    """The problem's loss as the ``keras.losses.Loss`` that ``compile`` would make of it."""
    import keras

    found = keras.losses.get(loss)
    if isinstance(found, keras.losses.Loss):
        return found

    class FunctionLoss(keras.losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return found(y_true, y_pred)

    return FunctionLoss(name=getattr(found, "__name__", "loss"))


def unreduced(loss: Any) -> Any:
    """The same loss, one value an example; ``copy`` would rebuild it from its config, which a reader's own lacks."""
    twin = object.__new__(type(loss))
    twin.__dict__.update(vars(loss))
    twin.reduction = "none"
    return twin


def state_variables(optimizer: Any) -> list[Any]:
    """Every variable that an optimizer keeps, learning rate and counter included."""
    import keras

    listed = list(optimizer.variables)
    known = {id(variable) for variable in listed}
    for value in vars(optimizer).values():
        if isinstance(value, keras.Variable) and id(value) not in known:
            listed.append(value)
    return listed


@dataclass(frozen=True)
class Evaluation:
    """Loss and metric of each evaluated example after some updates, in the order of the index that was given.

    ``loss`` and ``score`` have shape (n,); ``penalty`` is what the model's own losses add.
    """

    updates: int
    train_seconds: float
    evaluation_seconds: float
    loss: np.ndarray
    score: np.ndarray
    penalty: float


def chunked(indices: np.ndarray) -> np.ndarray:
    """Indices padded with their first and cut into rows of at most CHUNK, int32."""
    width = min(CHUNK, len(indices))
    rows = -(-len(indices) // width)
    padded = np.full(rows * width, indices[0], dtype=np.int32)
    padded[: len(indices)] = indices
    return padded.reshape(rows, width)


class Trainer:
    """Trains members of one (problem, optimizer); compiles at the first, and only then.

    Args:
        problem: model, loss and metric.
        make_optimizer: makes a new Keras optimizer; called once to compile and once a member, for its initial state.
        mode: ``xla`` or ``graph``.
        has_learning_rate: False for an optimizer without one: rates are then not assigned.
    """

    def __init__(
        self, problem: Problem, make_optimizer: Callable[[], Any], mode: str, has_learning_rate: bool = True
    ) -> None:
        self.problem = problem
        self.mode = mode
        self.compile_seconds = 0.0
        self._make_optimizer = make_optimizer
        self._has_learning_rate = has_learning_rate
        self.model = problem.build_model()
        check_trainable(problem, self.model)
        self.optimizer = make_optimizer()
        self.optimizer.build(self.model.trainable_variables)
        self._loss = training_loss(problem.loss)
        self._each_loss = unreduced(self._loss)
        self._data: tuple[Data, Any] | None = None
        self._compiled: dict[tuple[Any, ...], tuple[Any, dict[bool, Any]]] = {}
        self._advance, self._evaluate = self._compile()

    @property
    def parameters(self) -> int:
        """Trainable parameters."""
        return sum(int(np.prod(v.shape)) for v in self.model.trainable_variables)

    @property
    def state_bytes_per_parameter(self) -> float:
        """Bytes of the optimizer's variables (its counter and learning rate apart) by trainable parameter."""
        own = [v for v in state_variables(self.optimizer) if len(v.shape) > 0]
        total = sum(int(np.prod(v.shape)) * np.dtype(v.dtype).itemsize for v in own)
        return total / self.parameters

    def _compile(self) -> tuple[Any, Any]:
        import tensorflow as tf

        model, optimizer, loss = self.model, self.optimizer, self._loss
        weights = model.trainable_variables
        jit = self.mode == "xla"

        def batch(arrays: Any, index: Any) -> tuple[Any, Any, Any]:
            x, y, sample_weight = arrays
            taken = tf.nest.map_structure(lambda array: tf.gather(array, index), x)
            return taken, tf.gather(y, index), None if sample_weight is None else tf.gather(sample_weight, index)

        # `while` on tensors, not tf.range: XLA compiles again for each new bound of a range.
        @tf.function(jit_compile=jit)
        def advance(arrays: Any, order: Any, rates: Any, start: Any, stop: Any) -> Any:
            step = start
            while step < stop:
                x, y, sample_weight = batch(arrays, order[step % tf.shape(order)[0]])
                with tf.GradientTape() as tape:
                    value = loss(y, model(x, training=True), sample_weight)
                    if model.losses:
                        value += tf.add_n([tf.reduce_sum(own) for own in model.losses])
                gradients = tape.gradient(value, weights)
                if self._has_learning_rate:
                    optimizer.learning_rate.assign(rates[step])
                optimizer.apply(gradients, weights)
                step += 1
            return step

        @tf.function(jit_compile=jit)
        def evaluate(arrays: Any, index: Any, chunks: Any) -> tuple[Any, Any, Any]:
            width = index.shape[1]
            # An optimizer may evaluate other weights than it trains; what it trains is put back.
            averaged = evaluation_weights(optimizer, weights)
            if averaged is not None:
                trained = [tf.identity(w.value) for w in weights]
                for weight, value in zip(weights, averaged, strict=True):
                    weight.assign(value)
            losses = tf.TensorArray(tf.float32, size=index.shape[0], element_shape=(width,))
            scores = tf.TensorArray(tf.float32, size=index.shape[0], element_shape=(width,))
            chunk = tf.constant(0)
            while chunk < chunks:
                x, y, _ = batch(arrays, index[chunk])
                predicted = model(x, training=False)
                each = tf.reshape(self._each_loss(y, predicted), (width, -1))
                score = tf.reshape(self.problem.metric.per_example(y, predicted), (width, -1))
                losses = losses.write(chunk, tf.reduce_mean(tf.cast(each, tf.float32), axis=1))
                scores = scores.write(chunk, tf.reduce_mean(tf.cast(score, tf.float32), axis=1))
                chunk += 1
            penalties = [tf.reduce_sum(regularize(w)) for w, regularize in penalised]
            penalty = tf.add_n(penalties) if penalties else tf.constant(0.0)
            if averaged is not None:
                for weight, value in zip(weights, trained, strict=True):
                    weight.assign(value)
            return losses.stack(), scores.stack(), penalty

        penalised = [(w, w.regularizer) for w in weights if getattr(w, "regularizer", None) is not None]
        return advance, evaluate

    def _device_arrays(self, data: Data) -> Any:
        """The arrays on the device, kept while the same data are trained on."""
        import tensorflow as tf

        if self._data is None or self._data[0] is not data:
            weight = None if data.sample_weight is None else tf.constant(data.sample_weight)
            x = tf.nest.map_structure(tf.constant, data.x)
            self._data = (data, (x, tf.constant(data.y), weight))
        return self._data[1]

    def _start(self, initial: list[np.ndarray]) -> None:
        """Give the model ``initial`` and the optimizer the state that a new one has at these weights."""
        for variable, value in zip(self.model.variables, initial, strict=True):
            variable.assign(value)
        fresh = self._make_optimizer()
        fresh.build(self.model.trainable_variables)
        for variable, value in zip(state_variables(self.optimizer), state_variables(fresh), strict=True):
            variable.assign(value)

    def train(
        self,
        data: Data,
        initial: list[np.ndarray],
        order: np.ndarray,
        rates: np.ndarray,
        evaluate_at: list[int],
        examples: np.ndarray,
        last_examples: np.ndarray | None = None,
    ) -> Iterator[Evaluation]:
        """Train one member; yield an evaluation at each of ``evaluate_at`` (the caller may stop at any).

        Args:
            data: all arrays.
            initial: values of ``model.variables``.
            order: int32 (rows, batch size): row ``update % rows`` holds the examples of an update.
            rates: float32 (updates,): the learning rate of each update.
            evaluate_at: ascending numbers of updates; the last is the budget.
            examples: indices of the examples to evaluate, shape (n,).
            last_examples: the same for the last evaluation, where it is another.
        """
        import tensorflow as tf

        arrays = self._device_arrays(data)
        self._start(initial)
        order_on_device, rates_on_device = tf.constant(order), tf.constant(rates, tf.float32)
        index_of = {False: tf.constant(chunked(examples))}
        index_of[True] = index_of[False] if last_examples is None else tf.constant(chunked(last_examples))
        advance, evaluate = self._compile_for(arrays, order_on_device, rates_on_device, index_of)
        done, train_seconds, evaluation_seconds = 0, 0.0, 0.0
        for updates in evaluate_at:
            begun = time.perf_counter()
            if updates > done:
                stretch = tf.constant(done), tf.constant(updates)
                reached = advance(arrays, order_on_device, rates_on_device, *stretch)
                int(reached)  # waits for the device
                done = updates
            trained = time.perf_counter()
            last = updates == evaluate_at[-1]
            count = len(last_examples if last and last_examples is not None else examples)
            index = index_of[last]
            loss, score, penalty = evaluate[last](arrays, index, tf.constant(index.shape[0]))
            losses, scores = np.asarray(loss).ravel()[:count], np.asarray(score).ravel()[:count]
            train_seconds += trained - begun
            evaluation_seconds += time.perf_counter() - trained
            yield Evaluation(done, train_seconds, evaluation_seconds, losses, scores, float(penalty))

    def _compile_for(
        self, arrays: Any, order: Any, rates: Any, index_of: dict[bool, Any]
    ) -> tuple[Any, dict[bool, Any]]:
        """``advance`` and ``evaluate`` for these shapes, compiled before any clock of a run starts.

        Concrete functions: TensorFlow then doesn't compare every argument's type at every call, which takes longer than
        35 updates of a small model.
        """
        import tensorflow as tf

        tensors = tf.nest.flatten([arrays, order, rates, *index_of.values()])
        shapes = tuple(None if tensor is None else tuple(tensor.shape) for tensor in tensors)
        if shapes not in self._compiled:
            begun = time.perf_counter()
            zero = tf.constant(0)
            advance = self._advance.get_concrete_function(arrays, order, rates, zero, zero)
            evaluate = {k: self._evaluate.get_concrete_function(arrays, i, zero) for k, i in index_of.items()}
            # Loops of no turns compile and do no work.
            int(advance(arrays, order, rates, zero, zero))
            for last, index in index_of.items():
                float(evaluate[last](arrays, index, zero)[2])
            self._compiled[shapes] = (advance, evaluate)
            self.compile_seconds += time.perf_counter() - begun
        return self._compiled[shapes]

    def evaluated_model(self) -> Any:
        """The model with the weights that were evaluated last (a view: the next member overwrites it)."""
        averaged = evaluation_weights(self.optimizer, self.model.trainable_variables)
        if averaged is not None:
            values = [np.asarray(value) for value in averaged]
            for variable, value in zip(self.model.trainable_variables, values, strict=True):
                variable.assign(value)
        return self.model
