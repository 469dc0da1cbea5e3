"""Where and how a model runs; one file a strategy, base.py names the verbs they share."""
