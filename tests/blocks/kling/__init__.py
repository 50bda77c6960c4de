"""Tests of what is known about Kling."""
