"""The demonstration: a whole system, real photographs, live progress, and every promise looked at."""
