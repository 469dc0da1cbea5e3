"""The demos' rows and words, made from a seed, and the notes that the agent of one searches."""
