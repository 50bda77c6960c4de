"""Budgets: money is reserved before a POST, settled with what the provider reports, released when unspent."""
