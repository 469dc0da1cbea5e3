"""One file a family: its checkpoint as published, and its reference."""
