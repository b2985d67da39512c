"""Console: what staff see and do across all modules."""
