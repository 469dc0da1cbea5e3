"""Model classes of the families that transformers does not read, imported when one is loaded."""
