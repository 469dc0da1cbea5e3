"""The page at /: static modules of the package, and what they ask beyond the public API."""
