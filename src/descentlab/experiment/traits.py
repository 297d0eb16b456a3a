"""What a problem is like: the columns of the table of traits, which :mod:`descentlab.measurements.traits` measures."""

from __future__ import annotations

from descentlab.storage.tables import Column

TRAITS: dict[str, Column] = {
    "class_slope": Column(
        "float64",
        "",
        "",
        "slope of log frequency over log rank of the training targets' classes: 0 where they are balanced, −1 by Zipf's law; NaN "
        "without classes",
    ),
    "embedding_share": Column("float64", "share", "", "of the trainable parameters that are rows of embeddings"),
    "attention": Column("float64", "", "", "1 if the model has a layer of attention"),
    "batch_norm": Column("float64", "", "", "1 if the model has BatchNormalization"),
    "convex": Column("float64", "", "", "1 if the loss is convex in the weights"),
    "noise_scale": Column(
        "float64",
        "",
        "",
        "variance of a mini-batch's gradient over the squared norm of the mean gradient, both summed over weights, at the "
        "initial weights and the batch size used",
    ),
    "curvature_spread": Column(
        "float64",
        "",
        "",
        "largest absolute eigenvalue of the Hessian over the root mean square of all, at the initial weights: 1 where all "
        "directions are curved alike",
    ),
}
TRAITS_COLUMNS: dict[str, Column] = {
    "problem": Column("str", "", "", "problem"),
    "train_examples": Column("int64", "examples", "", "of training"),
    "parameters": Column("int64", "parameters", "", "trainable"),
    "batch_size": Column("int64", "examples", "", "of an update"),
    **TRAITS,
}
