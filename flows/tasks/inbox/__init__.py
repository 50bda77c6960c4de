"""What an inbox holds, which of it is new, and what became of it."""
