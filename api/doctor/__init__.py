"""The doctor: how a ledger, its data directory and its pools are, and what is wrong with them.

It reads only. Some of it is known to the service alone (the sync mode belongs to its connection),
so a running service examines itself; without one, the same is asked of the files.
"""
