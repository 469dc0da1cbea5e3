"""The processes of a run: who they are, and what they compute together."""
