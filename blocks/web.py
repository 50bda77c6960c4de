"""Addresses that strangers may name: what we fetch from, and what we refuse to touch."""
