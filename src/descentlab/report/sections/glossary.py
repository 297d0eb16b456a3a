"""For students: every term on the page in one sentence, and the slides' formulas next to Keras' own."""

from __future__ import annotations

from descentlab.i18n.wording import message, words
from descentlab.report.blocks import Evidence, Section, Table

TERMS = {
    message("update"): message("One step of the optimizer: the weights change once, by the gradient of one batch."),
    message("batch"): message("The training examples that one update looks at; full batch means all of them."),
    message("epoch"): message("As many updates as it takes to see every training example once."),
    message("learning rate (α)"): message("How long a step is: what the optimizer's direction is multiplied by."),
    message("schedule"): message(
        "How the learning rate changes from the first update to the last: constant, or decaying to zero."
    ),
    message("budget"): message("How many updates a run may make; the same number of examples for every optimizer."),
    message("run"): message(
        "One training from the first weights to the last, with one optimizer, learning rate and seed."
    ),
    message("seed"): message(
        "The number that randomness starts from: it determines a run's first weights, its split and the order of its batches."
    ),
    message("arm"): message(
        "A way to set the hyperparameters: Keras' defaults, learning rate tuned, or everything tuned."
    ),
    message("training, validation, test"): message(
        "Weights are fitted to the training examples; validation examples decide choices; test examples are looked at only "
        "after every choice."
    ),
    message("loss"): message("What training minimizes, averaged over examples; lower is better."),
    message("metric"): message(
        "What the model is judged by, such as accuracy; each problem says which direction is better."
    ),
    message("generalization gap"): message(
        "Test loss minus training loss: how much worse a model does on examples it has not seen."
    ),
    message("overfitting"): message("Fitting the training examples at the expense of others: the gap grows."),
    message("paired difference"): message(
        "The result of one optimizer minus another's with the same seed, so that chance shared by both cancels."
    ),
    message("95 % interval"): message(
        "Built so that 95 of 100 such intervals contain the true value; the shorter, the more precise."
    ),
    message("n"): message("The number of independent values behind a result, nearly always seeds."),
    message("margin (δ)"): message(
        "The smallest difference that would matter, declared for each problem before anything was run."
    ),
    message("negligible and inconclusive"): message(
        "Negligible: the whole interval lies within the margin, so there is no difference that matters. Inconclusive: the runs "
        "can't settle it."
    ),
    message("Holm's correction"): message(
        "Widens intervals when several questions are asked at once, so that luck on one of them is not taken for a finding."
    ),
    message("false discovery rate"): message(
        "Of the exploratory verdicts that say better or worse, the share that is expected to be wrong: at most 5 % here."
    ),
    message("diverged"): message(
        "The loss became infinite or larger than its bound: the worst result, and counted as such."
    ),
    message("target, time to target"): message(
        "A validation loss on the way to the reference's best, and how many updates it takes to get there."
    ),
    message("censored"): message(
        "A run that had not reached its target when its budget ended: all that is known is that it needs longer."
    ),
    message("convex"): message(
        "With a single minimum, in which every optimizer with a small enough step ends: linear and logistic regression."
    ),
    message("barrier"): message(
        "How much the loss rises on the straight line between two trained networks; 0 where one valley holds both."
    ),
}

# The slides' code with its own names, and the updates as Keras 3.15 computes them; g is the gradient.
FORMULAS = (
    ("gd, sgd", "w = w − α·dw", "w ← w − α·g", ""),
    (
        "momentum",
        "v = μ·v + α·dw\nw = w − v",
        "v ← μ·v − α·g\nw ← w + v",
        message("The same except for the sign of v."),
    ),
    ("nesterov", "", "v ← μ·v − α·g\nw ← w + μ·v − α·g", message("Not in the slides.")),
    (
        "adagrad",
        "h = h + dw²\nw = w − dw / (√h + 0.0001)",
        "h ← h + g², h₀ = 0.1\nw ← w − α·g / √(h + 10⁻⁷)",
        message(
            "The slides' version has no learning rate; Keras' begins with h at 0.1, which undoes what it promises for small "
            "gradients."
        ),
    ),
    (
        "rmsprop",
        "",
        "v ← ρ·v + (1 − ρ)·g²\nw ← w − α·g / √(v + ε)",
        message("The slides name it without a formula. AdaGrad's sum becomes an average that forgets."),
    ),
    (
        "adam",
        message("AdaGrad + momentum"),
        "m ← β₁·m + (1 − β₁)·g\nv ← β₂·v + (1 − β₂)·g²\nw ← w − α·√(1 − β₂ᵗ)/(1 − β₁ᵗ) · m / (√v + ε)",
        message(
            "Closer to RMSprop + momentum: its average of squares forgets, AdaGrad's sum does not; t counts updates."
        ),
    ),
)


def glossary(evidence: Evidence) -> Section:
    """Terms, and the formulas of the slides' optimizers."""
    terms = [[words(term), words(meaning)] for term, meaning in TERMS.items()]
    formulas = [
        [name, words(slides), keras, words(note)]
        for name, slides, keras, note in FORMULAS
        if set(name.split(", ")) & set(evidence.optimizers)
    ]
    blocks = [Table("terms", words("Terms"), [words("term"), words("meaning")], terms)]
    if formulas:
        headers = [words("optimizer"), words("slides"), "Keras", words("difference")]
        caption = words(
            "w: weights; α: learning rate; dw, g: gradient; v, m, h: what the optimizer remembers, starting at 0 unless noted."
        )
        blocks.append(Table("formulas", words("The slides' formula next to Keras' own"), headers, formulas, caption))
    return Section("glossary", words("Glossary"), blocks)
