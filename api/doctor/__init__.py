"""The doctor: how a ledger, its data directory and its pools are, and what is wrong with them.

It reads only. A running service examines itself: it knows its pools, and whether it is just writing
an archive. Without one, the same is asked of the files.
"""
