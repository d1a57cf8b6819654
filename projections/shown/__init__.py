"""What is shown of the ledger: what a commit changes of it, and what is remembered of it."""
