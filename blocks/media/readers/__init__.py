"""Reading one file of each kind. Imported by the measuring process only."""
