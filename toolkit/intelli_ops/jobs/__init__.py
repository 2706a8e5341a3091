"""A client of the reference system's job API."""
