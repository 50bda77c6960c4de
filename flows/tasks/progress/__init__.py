"""Progress of a run: counted by its tasks, shown now and then on its page and in the terminal."""
