"""The command line: ``run``, and one verb for each rule of the workflow that it runs, without logic of their own."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from descentlab.experiment.config import Config, ConfigError, check_folders, load_config, parse_config, printable
from descentlab.experiment.looks import Look, look_file, read_looks
from descentlab.experiment.plan import PLAN_FILE, Plan, TrainingPlan
from descentlab.experiment.workflow_root import default_config, workflow_root
from descentlab.storage.atomic import write_text
from descentlab.training.execution.running_jobs import running_job


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit status, or 2 after printing one line that says what went wrong."""
    parser = _parser()
    options, others = parser.parse_known_args(arguments)
    if others and options.verb is not _run:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    options.arguments = others
    try:
        with running_job(options.job_of) if options.job_of else contextlib.nullcontext():
            status: int | None = options.verb(options)
    except (ValueError, RuntimeError, OSError) as error:
        if type(error).__module__.startswith("descentlab") or isinstance(error, OSError):
            print(f"descentlab: {printable(str(error))}", file=sys.stderr)
            return 2
        raise
    return status or 0


def command() -> int:
    """What the installed command ``descentlab`` calls: like ``python -m``, it finds modules in the current folder."""
    sys.path.insert(0, "")
    return main()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="descentlab", description="Which optimizer should a Keras model use?")
    parser.add_argument("--job-of", type=Path, metavar="RESULTS", help="register as one of the jobs of a workflow")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, function: Any, description: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=description, description=description)
        added.set_defaults(verb=function)
        return added

    run = verb("run", _run, "run a whole experiment in this folder, up to its report; other options are Snakemake's")
    run.add_argument("config", type=Path, nargs="?", help="YAML file; default: the default experiment")
    run.add_argument("--cores", default="all", help="how many jobs run at once; default: all")

    plan = verb("plan", _plan, "check a config and everything it names, and write plan.json")
    plan.add_argument("config", type=Path, nargs="?", help="YAML file")
    plan.add_argument("--config-json", help="the config as JSON instead")
    plan.add_argument("--output", type=Path, help="default: results/EXPERIMENT/plan.json")

    train = verb("train", _train, "train the runs of one job")
    train.add_argument("plan", type=Path)
    train.add_argument("--problem", required=True)
    part = train.add_mutually_exclusive_group(required=True)
    part.add_argument("--job", type=int, help="number of the job")
    part.add_argument("--look", type=int, help="the runs that this look added to the problem")
    part.add_argument("--speed", action="store_true", help="the final seeds at the rates that were fastest in tuning")

    look = verb("look", _look, "judge the primary contrasts so far, and choose those that get more seeds")
    look.add_argument("results", type=Path, help="results/EXPERIMENT")
    look.add_argument("--number", type=int, required=True, help="1 for the look at the final seeds")

    measure = verb("measure", _measure, "measure step cost and mechanism problems")
    measure.add_argument("plan", type=Path)
    measure.add_argument("names", nargs="*", help="default: all that the config names")

    track = verb("track", _track, "log the runs of a problem to MLflow, each exactly once")
    track.add_argument("results", type=Path, help="results/EXPERIMENT")
    track.add_argument("--problem", help="only this problem")
    track.add_argument("--follow", action="store_true", help="keep logging as jobs finish, until all have")

    store = verb("store", _store, "create the MLflow store")
    store.add_argument("plan", type=Path)

    for name, function, description in (
        ("collect", _collect, "merge the tables of all jobs"),
        ("compare", _compare, "summaries, contrasts and verdicts from the merged tables"),
    ):
        verb(name, function, description).add_argument("results", type=Path, help="results/EXPERIMENT")

    report = verb("report", _report, "write the report, of an experiment's results or of externally logged MLflow runs")
    subject = report.add_mutually_exclusive_group(required=True)
    subject.add_argument("results", type=Path, nargs="?", help="results/EXPERIMENT")
    subject.add_argument("--mlflow-experiment", metavar="NAME", help="an MLflow experiment of externally logged runs")
    report.add_argument("--mapping", type=Path, help="YAML file: what its parameters and metrics mean")
    report.add_argument("--tracking-uri", help="its store; default: MLFLOW_TRACKING_URI or results/mlflow.db")
    report.add_argument("--output", type=Path, help="default: reports/EXPERIMENT/index.html")

    diff = verb(
        "diff", _diff, "write what changed between two results; exit status 1 if a verdict or an estimate changed"
    )
    diff.add_argument("before", type=Path, metavar="A", help="results/EXPERIMENT")
    diff.add_argument("after", type=Path, metavar="B", help="the results to compare it with")
    diff.add_argument("--output", type=Path, metavar="FILE", help="default: reports/B/diff.html")
    diff.add_argument("--json", type=Path, metavar="FILE", help="also write the differences as JSON")

    track_report = verb("track-report", _track_report, "log the report to MLflow")
    track_report.add_argument("results", type=Path, help="results/EXPERIMENT")
    track_report.add_argument("report", type=Path, help="reports/EXPERIMENT/index.html")

    step_cost = verb("step-cost", _step_cost, "time every optimizer's update and step, up to 10 million parameters")
    step_cost.add_argument("output", type=Path, help="CSV file")

    schema = verb("schema", _schema, "write the JSON schema of a config")
    schema.add_argument("output", type=Path)
    return parser


def _run(options: argparse.Namespace) -> None:
    config = options.config or default_config()
    check_folders(load_config(config).experiment)  # in a second, and in one line
    command = [sys.executable, "-m", "snakemake", "--snakefile", workflow_root() / "Snakefile", "--configfile", config]
    command += ["--cores", options.cores, "--rerun-incomplete", *options.arguments]
    os.execv(sys.executable, [str(word) for word in command])  # so that Snakemake gets the keys and the signals


def _plan(options: argparse.Namespace) -> None:
    from descentlab.analysis.power import most_added_runs, power_lines
    from descentlab.experiment.mode_lines import mode_lines
    from descentlab.experiment.split_lines import split_lines
    from descentlab.training.make_plan import make_plan

    if options.config_json:
        config = parse_config(json.loads(options.config_json), "config")
    else:
        config = load_config(options.config or default_config())
    check_folders(config.experiment)
    output = options.output or Path("results", config.experiment, PLAN_FILE)
    plan = make_plan(config, output.absolute().parents[1] / "cache")
    plan.write(output)
    for problem, runs in plan.runs.items():
        jobs = plan.jobs[problem]
        print(f"{problem}: {runs} runs of {sum(map(len, jobs))} optimizers in {len(jobs)} jobs", file=sys.stderr)
    added = most_added_runs(plan)
    more = f", and at most {added} more for open primary contrasts" if added else ""
    print(f"{sum(plan.runs.values())} runs in all{more}", file=sys.stderr)
    for line in [*mode_lines(plan), *split_lines(plan), *power_lines(plan)]:
        print(line, file=sys.stderr)


def _train(options: argparse.Namespace) -> None:
    plan, results, cache = TrainingPlan.read(options.plan), options.plan.parent, options.plan.parents[1] / "cache"
    if options.speed:
        _train_for_speed(plan, options.problem, results, cache)
    elif options.look is not None:
        from descentlab.training.later_runs import train_added

        train_added(plan, options.problem, Look.read(look_file(results, options.look)), results, cache)
    else:
        from descentlab.training.job import train_job

        train_job(plan, options.problem, options.job, results / "train" / options.problem, cache)


def _train_for_speed(plan: TrainingPlan, problem: str, results: Path, cache: Path) -> None:
    from descentlab.analysis.fastest_rates import find_untrained
    from descentlab.experiment.records import HISTORY, RUNS
    from descentlab.training.collect import read_all
    from descentlab.training.job_files import fastest_rates_file, problem_jobs, speed_job, write_job_tables

    jobs = problem_jobs(plan, results, problem)
    rates = find_untrained(plan, read_all(jobs, "runs", RUNS), read_all(jobs, "history", HISTORY))
    # On disk before any run that sees a test target.
    write_text(fastest_rates_file(results, problem), json.dumps(rates, indent=1))
    if rates:  # the import takes seconds
        from descentlab.training.later_runs import train_for_speed

        train_for_speed(plan, problem, results, cache)
    else:
        write_job_tables(speed_job(results, problem), {})


def _look(options: argparse.Namespace) -> None:
    from descentlab.analysis.next_look import decide_look
    from descentlab.analysis.pairing import scores_by_run
    from descentlab.training.collect import merge_jobs

    plan, results = TrainingPlan.read(options.results), options.results
    looks = read_looks(results, range(1, options.number))
    merged = merge_jobs(plan, results, looks)
    look = decide_look(plan, merged.runs, scores_by_run(merged.examples), merged.selections, looks)
    look.write(look_file(results, look.number))
    print(look, file=sys.stderr)


def _measure(options: argparse.Namespace) -> None:
    from descentlab.measurements.measure import measure

    plan = TrainingPlan.read(options.plan)
    output, cache = options.plan.parent / "measured", options.plan.parents[1] / "cache"
    measure(
        plan,
        options.names or plan.config.measurements,
        output,
        cache,
        lambda line: print(line, file=sys.stderr, flush=True),
    )


def _store(options: argparse.Namespace) -> None:
    from descentlab.tracking.track import create_store

    create_store(TrainingPlan.read(options.plan).config.tracking.uri)


def _track(options: argparse.Namespace) -> None:
    from descentlab.tracking.track import follow, track_problem

    plan = TrainingPlan.read(options.results)
    tracking = plan.config.tracking
    if options.follow:
        follow(plan, options.results, tracking.uri, tracking.tuning_curves)
        return
    for problem in [options.problem] if options.problem else plan.problems:
        print(track_problem(plan, options.results, problem, tracking.uri, tracking.tuning_curves), file=sys.stderr)


def _collect(options: argparse.Namespace) -> None:
    from descentlab.training.collect import collect_runs

    collect_runs(TrainingPlan.read(options.results), options.results)


def _compare(options: argparse.Namespace) -> None:
    from descentlab.analysis.compare import compare_results

    compare_results(Plan.read(options.results), options.results)


def _report(options: argparse.Namespace) -> None:
    from descentlab.report.page import write_report

    if options.mlflow_experiment is not None:
        plan, results = _import(options)
    elif options.mapping or options.tracking_uri:
        raise ConfigError("report: --mapping and --tracking-uri need --mlflow-experiment, which is missing")
    else:
        plan, results = Plan.read(options.results), options.results
    output = options.output or Path("reports", results.name, "index.html")
    write_report(plan, results, output)
    print(output)


def _import(options: argparse.Namespace) -> tuple[Plan, Path]:
    from descentlab.analysis.compare import compare_results
    from descentlab.tracking.imported.experiment import import_experiment
    from descentlab.tracking.imported.mapping import load_mapping

    plan, results = import_experiment(options.mlflow_experiment, load_mapping(options.mapping), options.tracking_uri)
    compare_results(plan, results)
    return plan, results


def _diff(options: argparse.Namespace) -> int:
    from descentlab.report.diff.compared import as_json, compare_two
    from descentlab.report.diff.page import summarize, write_differences

    differences = compare_two(options.before, options.after)
    output = options.output or Path("reports", options.after.name, "diff.html")
    write_differences(differences, output)
    if options.json:
        write_text(options.json, as_json(differences))
    for line in summarize(differences):
        print(line)
    print(output)
    return int(differences.changed)


def _track_report(options: argparse.Namespace) -> None:
    from descentlab.tracking.track import track_report

    plan = TrainingPlan.read(options.results)
    track_report(plan, options.results, options.report, plan.config.tracking.uri)


def _step_cost(options: argparse.Namespace) -> None:
    from descentlab.analysis.step_cost import summarize_step_cost
    from descentlab.measurements.step_cost import standard_step_cost

    table = standard_step_cost(lambda line: print(line, file=sys.stderr))
    write_text(options.output, table.to_csv(index=False))
    print(summarize_step_cost(table).to_string(index=False))


def _schema(options: argparse.Namespace) -> None:
    write_text(options.output, json.dumps(Config.model_json_schema(), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
