"""What MLflow's UI shows of an experiment as a whole: its kind, its description, and the saved views of its runs."""

from __future__ import annotations

from collections.abc import Mapping

from descentlab.experiment.plan import TrainingPlan
from descentlab.tracking.entry import CURVE, NOTE
from descentlab.tracking.links import link_artifact, link_view
from descentlab.tracking.parent_runs import KIND
from descentlab.tracking.saved_views import START, VIEW_TAG, compared_optimizers, saved_views, view_name

TRAINING_KIND = {"mlflow.experimentKind": "custom_model_development"}  # MLflow 3.17 goes by the address instead


def experiment_tags(plan: TrainingPlan, experiment: str, run_ids: Mapping[str, str]) -> dict[str, str]:
    """The tags of an experiment.

    Args:
        experiment: MLflow's id.
        run_ids: MLflow's ids of the parents and of the report by our ids, as far as they are logged.
    """
    views = saved_views(plan, run_ids)
    return {
        **TRAINING_KIND,
        NOTE: describe_experiment(plan, experiment, run_ids, list(views)),
        **{f"{VIEW_TAG}{name}": view for name, view in views.items()},
    }


def describe_experiment(plan: TrainingPlan, experiment: str, run_ids: Mapping[str, str], views: list[str]) -> str:
    """What a stranger reads above the list of runs; only the first paragraph is seen before it is unfolded."""
    first = next(iter(plan.problems))
    read = ""
    if "report" in run_ids:
        read = f"Read [the report]({link_artifact(experiment, run_ids['report'], 'index.html')}), or open "
    pair = compared_optimizers(plan)
    words = {
        "means": "means over seeds",
        "pair": f"curves of {' and '.join(pair)}",
        "rates": f"learning rates of {pair[-1]}",
    }
    lines = [
        f"Which optimizer should a model be trained with? {read or 'Open '}[the parent runs]({link_view(experiment, START)}), "
        "one for each problem and optimizer.\n"
    ]
    for problem, planned in plan.problems.items():
        links = [
            f"[{text}]({link_view(experiment, name, charts=kind == 'pair')})"
            for kind, text in words.items()
            if (name := view_name(kind, problem)) in views
        ]
        lines.append(f"- {planned.title}, **{problem}**: {', '.join(links)}")
    return "\n".join(lines) + (
        "\n\nThese are also under *Views*. How to read the runs:\n\n"
        "- A **parent run**, `problem / optimizer`, has means over the final seeds with the ends of their 95 % intervals "
        "(`tuned/test_…_mean`, `…_low`, `…_high`, of `tuned/n` seeds), mean curves, a picture of them beside the reference's, "
        "and the best model. Its children are the single trainings.\n"
        f"- **Filter**: the parents are `tags.{KIND} = 'parent'`, the single runs that count `tags.phase = 'final' and "
        f"tags.arm = 'tuned' and tags.problem = '{first}'`.\n"
        "- **Group or filter by the tags** `problem`, `optimizer`, `arm` (default, tuned or extended), `phase` (tuning, sweep, "
        "final, added, neighbor, speed), `learning_rate`, `seed`, `status`. A run that diverged has MLflow's status *failed* "
        "and the tag `status = 'diverged'`.\n"
        f"- **Charts** under `{CURVE}` have updates as steps and training time as time. The other metrics of a single run are "
        "values at the end (`test_…`, `val_…`, `train_…`), at the best validation epoch (`best_…`), and updates until a target "
        "loss.\n"
        "- **Models** are the best final model of each problem and optimizer, by validation: "
        "`mlflow.keras.load_model('models:/MODEL_ID')`."
    )
