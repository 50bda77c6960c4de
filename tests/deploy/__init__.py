"""A Prefect server that was set up by one command, with a worker: what events, schedules and people make of it."""
