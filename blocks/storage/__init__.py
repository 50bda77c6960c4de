"""The archive: journal, clips and sidecars in any store. Plain Python, no Prefect."""
