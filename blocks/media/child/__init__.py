"""The measuring process itself: how it starts, forks and limits what it forks."""
