"""Families register in the order they are imported: load them in the registry's own before any test does."""

from intelli_checks.registry import registry

registry.load()
