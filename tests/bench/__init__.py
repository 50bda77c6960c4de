"""What a job costs beside scripts that people write by hand; `make bench`."""
