"""The chat program: a dialogue with its history, its commands, the terminal."""
