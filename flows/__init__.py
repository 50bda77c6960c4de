"""Prefect flows: what is done with portraits, voices and clips."""
