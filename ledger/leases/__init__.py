"""What is expected of producers' jobs while time passes: beats, losses, returns, abandonments.

`held` holds beats and writes them together, `watch` finds leases that are over, `missing` makes
rows that a restored ledger lacks, `known` has the attempts that report here, and `reporting` takes
their reports. The rules are in `tests/models/README.md`.
"""
