"""Retention: plans what is due, discards it, and moves its events to archives."""
