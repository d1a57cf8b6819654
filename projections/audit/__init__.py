"""Audit: whether the record is sound, and the read models show what it says."""
