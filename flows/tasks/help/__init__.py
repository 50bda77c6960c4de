"""Help on the page of a run that failed: what happened, whether money was spent, what to do next."""
