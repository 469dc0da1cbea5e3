"""The commands, one file a verb; `entry.py` finds them."""
