"""The gallery: a static page of all clips, kept in the archive."""
