"""Who of a run's processes hangs or died, and the last word about it."""
