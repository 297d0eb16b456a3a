# From every job's tables to the report.


rule collect:
    input:
        plan=ancient(f"{RESULTS}/plan.json"),
        tables=[
            f"{RESULTS}/train/{problem}/{job}.{table}"
            for problem, jobs in JOBS.items()
            for job in range(len(jobs))
            for table in (
                "history.parquet",
                "runs.parquet",
                "examples.parquet",
                "selections.json",
            )
        ],
    output:
        runs=f"{RESULTS}/runs.parquet",
        history=f"{RESULTS}/history.parquet",
        examples=f"{RESULTS}/examples.parquet",
        selections=f"{RESULTS}/selections.json",
    log:
        f"{RESULTS}/logs/collect.log",
    params:
        code=code_digest("collect"),
        config=experiment.as_json(),
    shell:
        "{VERB} collect {RESULTS:q} 2>&1 | tee {log:q}"


rule compare:
    input:
        plan=ancient(f"{RESULTS}/plan.json"),
        runs=rules.collect.output.runs,
        history=rules.collect.output.history,
        selections=rules.collect.output.selections,
    output:
        directory(f"{RESULTS}/comparison"),
    log:
        f"{RESULTS}/logs/compare.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare.tsv"
    params:
        code=code_digest("compare"),
    shell:
        "{VERB} compare {RESULTS:q} 2>&1 | tee {log:q}"


rule report:
    input:
        plan=ancient(f"{RESULTS}/plan.json"),
        selections=rules.collect.output.selections,
        comparison=rules.compare.output,
    output:
        report(REPORT, category="Report", labels={"experiment": experiment.experiment}),
    log:
        f"{RESULTS}/logs/report.log",
    benchmark:
        f"{RESULTS}/benchmarks/report.tsv"
    params:
        code=code_digest("report"),
    shell:
        "{VERB} report {RESULTS:q} --output {output:q} 2>&1 | tee {log:q}"
