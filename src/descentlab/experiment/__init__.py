"""What an experiment is: the config, its jobs and runs, the tables that its stages exchange."""
