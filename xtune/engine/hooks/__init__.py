"""What watches a run, one file each; base.py has the points at which they are called."""
