"""Talking to a model: prompts, answers token by token, a session with its history, the terminal."""
