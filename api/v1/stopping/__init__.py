"""Asking jobs to stop, and telling their processes."""
