"""The Prefect tasks that the flows are made of."""
