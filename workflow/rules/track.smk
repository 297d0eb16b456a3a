# Histories to MLflow, beside the training of other problems: as soon as a problem's are there, or they would all come last,
# one after the other.
#
# A store that is away must not end the training: what it didn't take is said, marked in the .done file, and tracked again
# by the last rule, which alone fails when the store is still away. The next snakemake then runs that rule again.


# Says at the beginning that a store is away, or makes it.
rule store:
    input:
        plan=f"{RESULTS}/plan.json",
    output:
        touch(f"{RESULTS}/tracking/store.done"),
    log:
        f"{RESULTS}/logs/store.log",
    priority: 1
    conda:
        "../../environment.yml"
    params:
        uri=experiment.tracking.uri,
    shell:
        "descentlab store {input.plan:q} 2>&1 | tee {log:q} || true"


rule track:
    input:
        plan=f"{RESULTS}/plan.json",
        tables=lambda wildcards: expand(
            f"{RESULTS}/train/{wildcards.problem}/{{job}}.{{table}}.parquet",
            job=range(len(JOBS[wildcards.problem])),
            table=("history", "runs"),
        )
        + speed_tables(wildcards.problem),
        store=ancient(f"{RESULTS}/tracking/store.done"),
    output:
        touch(f"{RESULTS}/tracking/{{problem}}.done"),
    log:
        f"{RESULTS}/logs/track/{{problem}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/track/{{problem}}.tsv"
    wildcard_constraints:
        problem=r"(?!report\.done$|store\.done$|added/).+",
    priority: 1
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mlflow_writer=1,
    params:
        results=subpath(input.plan, parent=True),
        code=lambda wildcards: code_digest("track"),
        tracking=experiment.tracking.model_dump_json(),
    shell:
        "descentlab track {params.results:q} --problem {wildcards.problem:q} 2>&1 | tee {log:q} || echo away > {output:q}"


# The runs that looks added, once all have decided; the others of the problem are in the store already.
use rule track as track_added with:
    input:
        plan=f"{RESULTS}/plan.json",
        tables=lambda wildcards: [
            path
            for path in added_by(len(experiment.seeds.looks) - 1)
            if path.startswith(f"{RESULTS}/train/{wildcards.problem}/")
        ],
        before=f"{RESULTS}/tracking/{{problem}}.done",
    output:
        touch(f"{RESULTS}/tracking/added/{{problem}}.done"),
    log:
        f"{RESULTS}/logs/track/{{problem}}.added.log",
    benchmark:
        f"{RESULTS}/benchmarks/track/{{problem}}.added.tsv"


rule track_report:
    input:
        plan=f"{RESULTS}/plan.json",
        report=REPORT,
        problems=tracked,
    output:
        touch(f"{RESULTS}/tracking/report.done"),
    log:
        f"{RESULTS}/logs/track_report.log",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mlflow_writer=1,
    params:
        results=subpath(input.plan, parent=True),
        code=lambda wildcards: code_digest("track"),
    shell:
        "(if grep --quiet away {input.problems:q}; then descentlab track {params.results:q}; fi; "
        "descentlab track-report {params.results:q} {input.report:q}) 2>&1 | tee {log:q}"
