"""What a job costs beside a hand-written script; `make bench`."""
