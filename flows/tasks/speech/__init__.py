"""Text that is spoken first: bought once, archived, and made into video."""
