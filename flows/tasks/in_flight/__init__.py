"""How many Kling tasks all runs together may have in flight."""
