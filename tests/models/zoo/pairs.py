"""Models with two inputs, several outputs, or columns of several types."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from descentlab.problems.base import Data, Metric
from models.zoo.data import load_clusters, outside_test, small


def load_image_pairs(path: str | None) -> Data:
    """Pairs of 8×8 images with a bright row; the target is 1 where it is not the same row in both."""
    random = np.random.default_rng(51)
    first = random.integers(0, 4, 96)
    different = np.arange(96) % 2
    second = (first + different * random.integers(1, 4, 96)) % 4
    images = 0.2 * random.normal(size=(2, 96, 8, 8, 1))
    images[0, np.arange(96), 2 * first] += 1
    images[1, np.arange(96), 2 * second] += 1
    left, right = images.astype("float32")
    return Data((left, right), different.astype("float32"))


def euclidean_distance(vectors: list[Any]) -> Any:
    """The distance of each pair of vectors, shape (n, 1)."""
    first, second = vectors
    return ops.sqrt(ops.maximum(ops.sum(ops.square(first - second), axis=1, keepdims=True), keras.config.epsilon()))


def contrastive(margin: float = 1.0) -> Any:
    """A loss that draws the same closer and pushes others to the margin."""

    def contrastive_loss(y: Any, distance: Any) -> Any:
        return ops.mean((1 - y) * ops.square(distance) + y * ops.square(ops.maximum(margin - distance, 0)), axis=-1)

    return contrastive_loss


def build_siamese() -> keras.Model:
    """One encoder for both images, with a contrastive loss."""
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, activation="tanh")(layers.BatchNormalization()(image))
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    encoder = keras.Model(image, layers.Dense(4, activation="tanh")(x), name="encoder")
    left, right = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    distance = layers.Lambda(euclidean_distance, output_shape=(1,))([encoder(left), encoder(right)])
    return keras.Model([left, right], distance)


SIAMESE = small(
    "siamese",
    "One encoder for both images, with a contrastive loss",
    build_siamese,
    load_image_pairs,
    contrastive(),
    Metric("binary_accuracy", True, keras.metrics.binary_accuracy),
)


def load_ratings(path: str | None) -> Data:
    """Ids of users and films, and ratings from 0 to 1 that follow both's tastes."""
    random = np.random.default_rng(52)
    user, film = random.integers(0, 12, (120, 1)), random.integers(0, 15, (120, 1))
    tastes, kinds = random.normal(size=(12, 2)), random.normal(size=(15, 2))
    rating = 1 / (1 + np.exp(-(tastes[user] * kinds[film]).sum(axis=2)))
    return Data({"user": user, "film": film}, rating.astype("float32"))


def build_recommender() -> keras.Model:
    """Dot product of a user's and a film's embedding."""
    user = keras.Input((1,), name="user", dtype="int32")
    film = keras.Input((1,), name="film", dtype="int32")
    regularizer = keras.regularizers.L2(1e-4)
    taste = layers.Flatten()(layers.Embedding(12, 4, embeddings_regularizer=regularizer)(user))
    kind = layers.Flatten()(layers.Embedding(15, 4, embeddings_regularizer=regularizer)(film))
    bias = layers.Flatten()(layers.Embedding(12, 1)(user)) + layers.Flatten()(layers.Embedding(15, 1)(film))
    match = layers.Activation("sigmoid")(layers.Dot(axes=1)([taste, kind]) + bias)
    return keras.Model({"user": user, "film": film}, match)


RECOMMENDER = small(
    "recommender",
    "Dot product of a user's and a film's embedding",
    build_recommender,
    load_ratings,
    keras.losses.BinaryCrossentropy(),
    Metric("root_mean_squared_error", False, keras.metrics.RootMeanSquaredError()),
)


def load_two_targets(path: str | None) -> Data:
    """Clusters with two targets: the sum of the features, and the class."""
    data = load_clusters(path)
    return Data(data.x, (data.x.sum(axis=1, keepdims=True), data.y))


def build_two_heads() -> keras.Model:
    """Two outputs as a list."""
    features = keras.Input((5,))
    x = layers.Dense(8, activation="relu")(features)
    return keras.Model(
        features, [layers.Dense(1, name="amount")(x), layers.Dense(3, activation="softmax", name="kind")(x)]
    )


HEADS_LIST = small(
    "heads_list",
    "Two outputs as a list",
    build_two_heads,
    load_two_targets,
    ["mean_squared_error", "sparse_categorical_crossentropy"],
    Metric("kind_accuracy", True, [["mae"], ["accuracy"]]),
    loss_weights=[0.5, 1.0],
)


def load_named_targets(path: str | None) -> Data:
    """The same targets by name."""
    data = load_two_targets(path)
    return Data(data.x, {"amount": data.y[0], "kind": data.y[1]})


def build_named_heads() -> keras.Model:
    """Two outputs as a dict, with weighted losses."""
    features = keras.Input((5,))
    x = layers.Dense(8, activation="relu")(features)
    amount, kind = layers.Dense(1, name="amount")(x), layers.Dense(3, name="kind")(x)
    return keras.Model(features, {"amount": amount, "kind": kind})


HEADS_DICT = small(
    "heads_dict",
    "Two outputs as a dict, with weighted losses",
    build_named_heads,
    load_named_targets,
    {"amount": keras.losses.Huber(), "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
    Metric("amount_mae", False, {"amount": "mae", "kind": ["accuracy"]}),
    loss_weights={"amount": 1.0, "kind": 0.2},
)

HEADS_ONE_METRIC = small(
    "heads_one_metric",
    "Two outputs, one of them measured",
    build_named_heads,
    load_named_targets,
    {"amount": "mse", "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True)},
    Metric(
        "kind_sparse_categorical_accuracy",
        True,
        {"kind": keras.metrics.SparseCategoricalAccuracy()},
    ),
)


def load_patients(path: str | None) -> Data:
    """Columns of floats, integers and text, each of shape (n, 1), and a target that depends on all; the last are to test."""
    random = np.random.default_rng(53)
    age, pressure = random.uniform(20, 80, (100, 1)), random.normal(120, 15, (100, 1))
    vessels = random.integers(0, 4, (100, 1))
    pain = np.array(["none", "typical", "other"])[random.integers(0, 3, (100, 1))]
    risk = (age - 50) / 20 + (pressure - 120) / 15 + vessels - 1.5 + (pain == "typical") - (pain == "none")
    x = {"age": age.astype("float32"), "pressure": pressure.astype("float32"), "vessels": vessels, "pain": pain}
    return Data(x, (risk[:, 0] > 0).astype("int64"), test=np.arange(80, 100))


def build_structured() -> keras.Model:
    """Columns of floats, integers and text, by the values that are outside the test split."""
    columns = outside_test(load_patients(None)).x
    inputs, encoded = {}, []
    for name, column in columns.items():
        dtype = {"f": "float32", "i": "int64", "U": "string"}[column.dtype.kind]
        inputs[name] = keras.Input((1,), name=name, dtype=dtype)
        if dtype == "float32":
            encode = layers.Normalization()
            encode.adapt(column)
        elif dtype == "int64":
            encode = layers.CategoryEncoding(num_tokens=4, output_mode="one_hot")
        else:
            encode = layers.StringLookup(output_mode="one_hot")
            encode.adapt(column[:, 0])
        encoded.append(encode(inputs[name]))
    x = layers.Dense(8, activation="relu")(layers.Concatenate()(encoded))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))


STRUCTURED = small(
    "structured_data",
    "Columns of floats, integers and text",
    build_structured,
    load_patients,
    "binary_crossentropy",
    Metric("accuracy", True, "accuracy"),
    stratified=True,
)


def load_wide_and_deep(path: str | None) -> Data:
    """The same columns in numbers only."""
    data = load_patients(path)
    numbers = np.concatenate([data.x["age"], data.x["pressure"]], axis=1)
    return Data([numbers, data.x["vessels"]], data.y[:, None])


def build_wide_and_deep() -> keras.Model:
    """A list of two inputs and one logit."""
    numbers, vessels = keras.Input((2,)), keras.Input((1,), dtype="int64")
    normalize = layers.Normalization(mean=[50.0, 120.0], variance=[300.0, 225.0])
    deep = layers.Dense(8, activation="relu")(normalize(numbers))
    wide = layers.Flatten()(layers.Embedding(4, 1)(vessels))
    return keras.Model([numbers, vessels], layers.Dense(1)(deep) + wide)


WIDE_AND_DEEP = small(
    "wide_and_deep",
    "A list of two inputs and one logit",
    build_wide_and_deep,
    load_wide_and_deep,
    keras.losses.BinaryCrossentropy(from_logits=True),
    Metric("accuracy", True, keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)),
)
