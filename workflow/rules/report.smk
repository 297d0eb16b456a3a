# From every job's tables to the report.


rule collect:
    input:
        plan=f"{RESULTS}/plan.json",
        tables=planned_tables,
        speed=sum(map(speed_tables, JOBS), []),
        added=lambda wildcards: added_by(len(experiment.seeds.looks) - 1),
    output:
        runs=f"{RESULTS}/runs.parquet",
        history=f"{RESULTS}/history.parquet",
        examples=f"{RESULTS}/examples.parquet",
        beside=f"{RESULTS}/beside.parquet",
        selections=f"{RESULTS}/selections.json",
    log:
        f"{RESULTS}/logs/collect.log",
    conda:
        "../../environment.yml"
    params:
        results=subpath(input.plan, parent=True),
        code=lambda wildcards: code_digest("collect"),
        config=lambda wildcards: experiment.as_json(),
    shell:
        "descentlab collect {params.results:q} 2>&1 | tee {log:q}"


rule compare:
    input:
        plan=f"{RESULTS}/plan.json",
        runs=rules.collect.output.runs,
        history=rules.collect.output.history,
        examples=rules.collect.output.examples,
        beside=rules.collect.output.beside,
        selections=rules.collect.output.selections,
        measured=expand(
            f"{RESULTS}/measured/{{table}}.parquet", table=sum(MEASURED.values(), [])
        ),
    output:
        tables=directory(f"{RESULTS}/comparison"),
        claims=f"{RESULTS}/claims.json",
    log:
        f"{RESULTS}/logs/compare.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare.tsv"
    conda:
        "../../environment.yml"
    params:
        results=subpath(input.plan, parent=True),
        code=lambda wildcards: code_digest("compare"),
    shell:
        "descentlab compare {params.results:q} 2>&1 | tee {log:q}"


rule report:
    input:
        plan=f"{RESULTS}/plan.json",
        selections=rules.collect.output.selections,
        comparison=rules.compare.output.tables,
        claims=rules.compare.output.claims,
        measured=rules.compare.input.measured,
    output:
        report(REPORT, category="Report", labels={"experiment": experiment.experiment}),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    conda:
        "../../environment.yml"
    params:
        results=subpath(input.plan, parent=True),
        code=lambda wildcards: code_digest("report"),
    shell:
        "descentlab report {params.results:q} --output {output:q} 2>&1 | tee {log:q}"
