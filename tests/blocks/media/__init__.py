"""Tests of `blocks.media`."""
