"""What the benchmarks share: the peers' environments, measured processes, the machine, rows."""
