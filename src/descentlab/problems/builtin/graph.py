"""Graph convolution for semi-supervised classification (Kipf & Welling 2017), on a graph of neighboring digits.

Nodes are scikit-learn's digits; each is joined to its 6 nearest neighbors, and a tenth of the labels trains the network. With
the adjacency matrix A plus self-loops, normalized by the roots of the degrees to Â, its logits are
Z = Â ReLU(Â X W1 + b1) W2 + b2. It stands for training on very few examples (176), which every optimizer can fit: what differs is
which of the many fits it ends at. The paper trains with Adam and compares it with nothing.

Neither Â nor X has anything to learn, so ``load_data`` computes Â X. What the logits of node i need besides is its row of Â, and
the rows of Â X of the nodes where that isn't zero: i itself and its neighbors. That is an example. So the data's hash covers the
features and the graph, a batch costs what its nodes cost rather than the whole graph, and the result is the paper's (the test
computes it with the dense matrices).

As in the paper it is *transductive*: the features of all nodes, those of the test split included, are in the graph, and so in
the inputs of their neighbors. Labels are not: an example's target is its own node's, and the graph is made from pixels alone.
"""

from __future__ import annotations

import keras
import numpy as np

from descentlab.i18n.message import message
from descentlab.problems.base import Data, Problem
from descentlab.problems.classification import ACCURACY, CROSS_ENTROPY, DIGITS_SOURCE, load_digits

NEIGHBORS = 6
HIDDEN = 32
MOST = 21  # nodes with which a node is joined, itself included


def build_model() -> keras.Model:
    """Two graph convolutions, 64 features to 32 hidden to 10 logits, for one node of which the neighbors are given."""
    weights = keras.Input((MOST,), name="weights")
    features = keras.Input((MOST, 64), name="features")
    hidden = keras.layers.Dense(HIDDEN, activation="relu", name="gc1")(features)
    mixed = keras.layers.Dot(axes=1, name="neighbors")([weights, hidden])
    logits = keras.layers.Dense(10, name="gc2")(mixed)
    return keras.Model({"weights": weights, "features": features}, logits, name="graph")


def normalized_adjacency(features: np.ndarray) -> np.ndarray:
    """D^(-1/2) (A + I) D^(-1/2) of the graph in which a node is joined to its nearest neighbors and to whom it is one.

    Args:
        features: float array of shape (n, features); nearness is Euclidean.

    Returns:
        float64, symmetric, shape (n, n).
    """
    from sklearn.neighbors import kneighbors_graph

    nearest = kneighbors_graph(features, NEIGHBORS).toarray()
    joined = np.maximum(nearest, nearest.T) + np.eye(len(features))
    root = np.sqrt(joined.sum(axis=1))
    return joined / np.outer(root, root)


def load_data(path: str | None) -> Data:
    """1,797 nodes: each one's neighbors' aggregated features, shape (1797, MOST, 64), and their weights, (1797, MOST).

    A node with fewer than MOST neighbors has its own features in the remaining places, with weight 0.

    Args:
        path: ignored; the data come with scikit-learn.
    """
    digits = load_digits(path)
    adjacency = normalized_adjacency(digits.x)
    aggregated = adjacency @ digits.x
    n = len(aggregated)
    places = np.repeat(np.arange(n)[:, None], MOST, axis=1)
    weights = np.zeros((n, MOST))
    for node, row in enumerate(adjacency):
        (joined,) = np.nonzero(row)
        places[node, : len(joined)] = joined
        weights[node, : len(joined)] = row[joined]
    x = {"weights": weights.astype(np.float32), "features": aggregated[places].astype(np.float32)}
    return Data(x, digits.y)


PROBLEM = Problem(
    name="graph",
    title=message("Graph convolution (digits and their neighbors, a tenth of the labels, 2,410 parameters)"),
    build_model=build_model,
    load_data=load_data,
    loss=CROSS_ENTROPY,
    metric=ACCURACY,
    epochs=60,
    batch_size=16,
    margin=0.015,
    margin_reason=message(
        "three nodes in two hundred; where two models answer 5 % of the 899 test nodes differently, twice the standard error of "
        "their difference is as much"
    ),
    # Not "digits": its sealed test split is a third, drawn for problems that train on most of the rest. This graph has the
    # features of every node, so no split of another problem would be sealed by its being shared.
    dataset="graph",
    test_share=0.5,
    validation_share=0.8,
    count="gc1 64 × 32 + 32 + gc2 32 × 10 + 10 = 2,410",
    source=DIGITS_SOURCE,
)
