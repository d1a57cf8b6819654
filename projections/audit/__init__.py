"""Audit: checks that the record is sound, and that the read models agree with it."""
