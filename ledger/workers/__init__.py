"""Doing the work: making, copying and removing images, and reporting it to the ledger."""

STALLED_S = 30.0
"""Seconds without a heartbeat after which a worker is taken for dead."""
