"""Agents: a model that is given tools, and what it does with them, step by step."""
