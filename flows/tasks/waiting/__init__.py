"""Waiting without a worker: runs that suspend, and the calls that resume them."""
