"""Tests of the sandbox, all over real HTTP unless a rule is pure."""
