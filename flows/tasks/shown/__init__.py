"""What a run shows in Prefect: clips, batches, posters, timelines."""
