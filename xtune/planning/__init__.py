"""What a run needs, said before it starts: memory, strategy, advice, more devices."""
