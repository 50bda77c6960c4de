"""Waiting without a worker, at length and under load: `make callback-test`."""
