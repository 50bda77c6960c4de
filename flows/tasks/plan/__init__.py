"""What would be done, and what it would cost: nothing here sends, spends or writes."""
