"""The EAGER toggle: development settings edited on syntax, every other byte kept."""
