"""What the ledger can still tell of the past: jobs as they were, and how they came to be so."""
