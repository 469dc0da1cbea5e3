"""The benchmarks, one file each, and what they share."""
