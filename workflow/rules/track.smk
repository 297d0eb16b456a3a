# Histories to MLflow, beside the training of other problems.


def problem_tables(wildcards):
    """The tables of a problem's jobs."""
    jobs = range(len(JOBS[wildcards.problem]))
    return [
        f"{RESULTS}/train/{wildcards.problem}/{job}.{table}.parquet"
        for job in jobs
        for table in ("history", "runs")
    ]


# One rule makes the store before any other writes to it: several first starters at once break its migration.
rule store:
    input:
        plan=ancient(f"{RESULTS}/plan.json"),
    output:
        touch(f"{RESULTS}/tracking/store.done"),
    log:
        f"{RESULTS}/logs/store.log",
    params:
        uri=experiment.tracking.uri,
    shell:
        "{VERB} store {input.plan:q} 2>&1 | tee {log:q}"


rule track:
    input:
        problem_tables,
        store=ancient(f"{RESULTS}/tracking/store.done"),
    output:
        touch(f"{RESULTS}/tracking/{{problem}}.done"),
    log:
        f"{RESULTS}/logs/track/{{problem}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/track/{{problem}}.tsv"
    wildcard_constraints:
        problem="(?!report$|store$).+",
    threads: 1
    resources:
        mlflow_writer=1,
    params:
        code=code_digest("track"),
        tracking=experiment.tracking.model_dump_json(),
    shell:
        "{VERB} track {RESULTS:q} --problem {wildcards.problem:q} 2>&1 | tee {log:q}"


rule track_report:
    input:
        report=REPORT,
        problems=expand(f"{RESULTS}/tracking/{{problem}}.done", problem=JOBS),
    output:
        touch(f"{RESULTS}/tracking/report.done"),
    log:
        f"{RESULTS}/logs/track_report.log",
    threads: 1
    resources:
        mlflow_writer=1,
    shell:
        "{VERB} track-report {RESULTS:q} {input.report:q} 2>&1 | tee {log:q}"
