"""Kling's avatar endpoint as CometAPI serves it: plain Python, no Prefect."""
