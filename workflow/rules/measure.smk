# Step cost and mechanism problems. What reads a clock or the memory takes every core, so that nothing runs beside it.

MEASURED = {
    alone: measured_tables(experiment.measurements, alone) for alone in (False, True)
}


def measured_names(alone):
    return [
        name for name in experiment.measurements if MEASUREMENTS[name].alone is alone
    ]


for alone, tables in MEASURED.items():
    if tables:

        rule:
            name:
                "measure_alone" if alone else "measure"
            input:
                plan=f"{RESULTS}/plan.json",
            output:
                expand(f"{RESULTS}/measured/{{table}}.parquet", table=tables),
            log:
                f"{RESULTS}/logs/measure{'_alone' if alone else ''}.log",
            benchmark:
                f"{RESULTS}/benchmarks/measure{'_alone' if alone else ''}.tsv"
            conda:
                "../../environment.yml"
            threads: (workflow.cores or 1) if alone else 1
            resources:
                gpu=1,
            params:
                names=measured_names(alone),
                code=lambda wildcards: code_digest("measure"),
                modules=lambda wildcards: reader_modules_digest(experiment),
            shell:
                "descentlab measure {input.plan:q} {params.names:q} 2>&1 | tee {log:q}"
