"""Answers from any language model: many at once, or one as it is being written."""
