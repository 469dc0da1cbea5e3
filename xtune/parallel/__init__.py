"""The processes of a run: who they are, and the few words that they exchange."""
