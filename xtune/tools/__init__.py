"""Tools that a model may call: typed functions with a schema, a time limit and a bounded result."""
