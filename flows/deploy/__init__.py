"""Setting up a Prefect server for this project: `python -m flows.deploy`."""
