"""On one machine what would be many: `python -m tests.cluster`, and its trial."""
