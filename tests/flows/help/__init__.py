"""Tests of the help on the page of a run that failed."""
