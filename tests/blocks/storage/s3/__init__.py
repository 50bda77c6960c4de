"""Tests of the bucket store."""
