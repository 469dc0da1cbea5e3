"""A Python interpreter for code that nobody trusts: confined by what Linux gives any user."""
