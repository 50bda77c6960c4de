"""Tests; the path mirrors the source."""
