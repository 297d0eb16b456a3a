# Which files jobs and looks write: the functions that rules name as their inputs.
from pathlib import Path

from descentlab.experiment.jobs import trains_for_speed
from descentlab.experiment.looks import Look, extended_problems, look_file


def job_tables(problem, jobs):
    """What a job writes, of some jobs of a problem."""
    return expand(
        f"{RESULTS}/train/{{problem}}/{{job}}.{{table}}.parquet",
        problem=problem,
        job=jobs,
        table=("history", "runs", "examples", "beside"),
    )


def speed_tables(problem):
    """What the final seeds write at the rates that are tuned for speed."""
    if not trains_for_speed(experiment, problem):
        return []
    return [
        f"{RESULTS}/train/{problem}/speed.json",
        *job_tables(problem, ["speed"]),
    ]


def problem_tables(problem):
    """What the jobs of a problem that are known before the runs write."""
    jobs = range(len(JOBS[problem]))
    selections = f"{RESULTS}/train/{problem}/{{job}}.selections.json"
    return [*job_tables(problem, jobs), *expand(selections, job=jobs)]


def planned_tables(wildcards):
    """What every job that is known before the runs writes."""
    return sum(map(problem_tables, JOBS), [])


def decided_looks(last):
    """What the looks up to ``last`` decided; Snakemake asks again once a missing one has."""
    return [
        Look.read(Path(checkpoints.look.get(number=number).output.decision))
        for number in range(1, last + 1)
    ]


def added_by(last):
    """The decisions of the looks up to ``last``, and the tables of the runs that they added."""
    looks = decided_looks(last)
    return [str(look_file(Path(RESULTS), look.number)) for look in looks] + [
        path
        for look in looks
        for problem in extended_problems(look)
        for path in job_tables(problem, [f"look{look.number}"])
    ]


def tracked(wildcards):
    """Every problem's runs, and those that looks added."""
    looks = decided_looks(len(experiment.seeds.looks) - 1)
    added = {problem for look in looks for problem in extended_problems(look)}
    return expand(f"{RESULTS}/tracking/{{problem}}.done", problem=JOBS) + expand(
        f"{RESULTS}/tracking/added/{{problem}}.done", problem=sorted(added)
    )
