"""A Prefect server that was set up by one command, and what events, schedules and people make of it."""
