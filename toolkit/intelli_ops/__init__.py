"""The `intelli-ops` command line."""
