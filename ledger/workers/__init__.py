"""Doing the work: making, copying and removing images, and reporting it to the ledger."""
