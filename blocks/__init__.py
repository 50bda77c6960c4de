"""Prefect blocks: the outside world and how to reach it."""
