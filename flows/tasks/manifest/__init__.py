"""Many videos in one run: rows, shards, and what became of each."""
