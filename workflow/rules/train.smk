# From the config to every job's tables.
import os
from pathlib import Path

from descentlab.training.execution.progress import say
from descentlab.training.execution.running_jobs import wait_for_jobs

# With snakemake --keep-going a run that fails becomes a row that says so, and the report is made from the rest. An
# environment variable reaches jobs on other machines too, and is no reason to run any again.
os.environ.setdefault("DESCENTLAB_KEEP_GOING", "")


envvars:
    "DESCENTLAB_KEEP_GOING",


onstart:
    wait_for_jobs(Path(RESULTS), say)
    if workflow.execution_settings.keep_going:  # known only now
        os.environ["DESCENTLAB_KEEP_GOING"] = "1"


rule plan:
    input:
        data=lambda wildcards: data_files(experiment),
    output:
        f"{RESULTS}/plan.json",
    log:
        f"{RESULTS}/logs/plan.log",
    conda:
        "../../environment.yml"
    params:
        code=lambda wildcards: code_digest("plan"),
        modules=lambda wildcards: reader_modules_digest(experiment),
        # A function: Snakemake would take a title's {braces} for wildcards.
        config=lambda wildcards: experiment.as_json(),
    shell:
        "descentlab plan --config-json {params.config:q} --output {output:q} 2>&1 | tee {log:q}"


rule train:
    input:
        plan=f"{RESULTS}/plan.json",
    output:
        history=f"{RESULTS}/train/{{problem}}/{{job}}.history.parquet",
        runs=f"{RESULTS}/train/{{problem}}/{{job}}.runs.parquet",
        examples=f"{RESULTS}/train/{{problem}}/{{job}}.examples.parquet",
        beside=f"{RESULTS}/train/{{problem}}/{{job}}.beside.parquet",
        selections=f"{RESULTS}/train/{{problem}}/{{job}}.selections.json",
    log:
        f"{RESULTS}/logs/train/{{problem}}.{{job}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{problem}}.{{job}}.tsv"
    wildcard_constraints:
        job=r"\d+",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
    params:
        code=lambda wildcards: code_digest("train"),
        spec=lambda wildcards: job_digest(
            experiment, wildcards.problem, JOBS[wildcards.problem][int(wildcards.job)]
        ),
    message:
        "Training {wildcards.problem}, job {wildcards.job}"
    shell:
        "descentlab train {input.plan:q} --problem {wildcards.problem:q} --job {wildcards.job} 2>&1 | tee {log:q}"


# The final seeds at the rates that were fastest in tuning, once all optimizers of the problem are tuned: the target is the
# reference's. Where tuning's fastest rates were trained already, the tables are empty.
rule train_for_speed:
    input:
        plan=f"{RESULTS}/plan.json",
        tables=lambda wildcards: problem_tables(wildcards.problem),
    output:
        f"{RESULTS}/train/{{problem}}/speed.json",
        job_tables("{problem}", ["speed"]),
    log:
        f"{RESULTS}/logs/train/{{problem}}.speed.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{problem}}.speed.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
    params:
        code=lambda wildcards: code_digest("train_later"),
    message:
        "Training {wildcards.problem} at rates tuned for speed"
    shell:
        "descentlab train {input.plan:q} --problem {wildcards.problem:q} --speed 2>&1 | tee {log:q}"


# One more look at the open contrasts: which of them get more seeds (docs/protocol.md, "Looks").
checkpoint look:
    input:
        plan=f"{RESULTS}/plan.json",
        tables=planned_tables,
        added=lambda wildcards: added_by(int(wildcards.number) - 1),
    output:
        decision=f"{RESULTS}/looks/{{number}}.json",
    log:
        f"{RESULTS}/logs/look/{{number}}.log",
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../environment.yml"
    params:
        results=subpath(input.plan, parent=True),
        code=lambda wildcards: code_digest("look"),
        config=lambda wildcards: experiment.as_json(),
    message:
        "Look {wildcards.number} at the primary contrasts"
    shell:
        "descentlab look {params.results:q} --number {wildcards.number} 2>&1 | tee {log:q}"


rule train_added:
    input:
        plan=f"{RESULTS}/plan.json",
        decision=f"{RESULTS}/looks/{{number}}.json",
        tables=lambda wildcards: problem_tables(wildcards.problem),
    output:
        job_tables("{problem}", ["look{number}"]),
    log:
        f"{RESULTS}/logs/train/{{problem}}.look{{number}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train/{{problem}}.look{{number}}.tsv"
    wildcard_constraints:
        number=r"\d+",
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
    params:
        code=lambda wildcards: code_digest("train_later"),
    message:
        "Training {wildcards.problem}, seeds added by look {wildcards.number}"
    shell:
        "descentlab train {input.plan:q} --problem {wildcards.problem:q} --look {wildcards.number} 2>&1 | tee {log:q}"
