"""Deployment files rendered from the same worker profiles that `start-workers` runs."""
