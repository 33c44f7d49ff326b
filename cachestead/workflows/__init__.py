"""Long work, one file each, and the one list of it."""
