"""Backups: the ledger as of one moment with all that belongs to it, in a directory of its own.

    ledger.sqlite              the ledger's file; nothing is in a WAL
    archive/<name>.jsonl.zst   the archives that it names
    checkpoint.key, .pub       the key that signs checkpoints, and its public half
    checkpoint                 a signed checkpoint of just this ledger
    images/<pool>/<drive>.img  by choice: the images of the drives that are ready
    manifest.json              what there is, with digests

Whoever has it has the key, and the hashes of passwords: directories have mode 0700, files 0600.
"""
