"""From the plan to trained runs: what each stage of the workflow does until the tables are collected."""
