# descentlab: which optimizer should a Keras model be trained with?
# Another experiment: snakemake --cores all --configfile workflow/config/test.yaml
import sys

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from descentlab.experiment.config import ConfigError, check_folders, parse_config
from descentlab.experiment.measurements import MEASUREMENTS, measured_tables
from descentlab.experiment.jobs import cut_jobs
from descentlab.experiment.provenance import (
    code_digest,
    data_files,
    job_digest,
    reader_modules_digest,
)

min_version("9.20")


# A config given on the command line stands alone: Snakemake would merge it, key by key, into the default one.
if not workflow.configfiles:

    configfile: f"{workflow.basedir}/workflow/config/default.yaml"


try:
    experiment = parse_config(config, "config")
    check_folders(experiment.experiment)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{experiment.experiment}"
REPORT = f"reports/{experiment.experiment}/index.html"
JOBS = cut_jobs(experiment)

# Rules say "descentlab VERB …"; it is run by the Python that runs Snakemake, whatever is on the PATH.
shell.prefix(
    f'set -euo pipefail; descentlab() ( exec "{sys.executable}" -m descentlab --job-of {RESULTS} "$@" ); '
)


include: "workflow/rules/tables.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/track.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        REPORT,
        f"{RESULTS}/tracking/report.done",
    localrule: True
