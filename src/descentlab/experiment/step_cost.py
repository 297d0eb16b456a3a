"""What a step costs: columns of the table and standard models, which :mod:`descentlab.measurements.step_cost` measures."""

from __future__ import annotations

from descentlab.storage.tables import Column

MODELS = ("slides_mlp", "mlp", "slides_cnn")
LARGE_MODEL = "large"
STEP_COST_COLUMNS: dict[str, Column] = {
    "model": Column("str", "", "", "slides_mlp, mlp, slides_cnn, large, or a problem of the experiment"),
    "parameters": Column("int64", "", "", "trainable parameters of the model"),
    "batch_size": Column("int64", "examples", "", "examples per step"),
    "optimizer": Column("str", "", "", "optimizer"),
    "round": Column("int64", "", "", "in a round every optimizer is timed once, in a random order"),
    "steps": Column("int64", "", "", "calls behind each median (the smaller number of update's and step's)"),
    "update_microseconds": Column(
        "float64", "microseconds", "lower", "median time of one update alone; NaN on an experiment's problem"
    ),
    "step_microseconds": Column("float64", "microseconds", "lower", "median time of forward, backward and update"),
    "state_bytes_per_parameter": Column("float64", "bytes", "lower", "optimizer variables, per trainable parameter"),
    "device": Column("str", "", "", "device that the timing ran on"),
    "device_peak_bytes": Column(
        "float64",
        "bytes",
        "lower",
        "peak GPU memory of the cell's training, above what was held before it; NaN on CPU and by Keras' own step, whose "
        "variables are held anyway",
    ),
}
