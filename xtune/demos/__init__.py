"""The two demos' rows and words, made from a seed, and the notes that one of them searches."""
