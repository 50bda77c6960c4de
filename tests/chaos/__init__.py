"""Proof of "pay once, lose nothing": real processes, killed at every boundary, while the provider fails."""
