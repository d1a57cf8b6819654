"""What is expected of producers' jobs while time passes: beats, losses, returns, abandonments.

`reports` takes what producers report, of the attempts in `known_jobs`. `held_beats` holds beats and
writes them together, `watch` decides that leases are lost, and `missing_leases` makes the rows that
a restored ledger lacks. The rules are in `tests/models/README.md`.
"""
