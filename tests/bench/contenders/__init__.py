"""Who is compared: `python -m tests.bench.contenders.NAME URL FOLDER JOBS`, each in a process of its own."""
