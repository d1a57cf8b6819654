"""Backups: a directory with the ledger as of one moment and everything that belongs to it.

    ledger.sqlite              the ledger's file; nothing is in a WAL
    archive/<name>.jsonl.zst   the archives that it names
    checkpoint.key, .pub       the key that signs checkpoints, and its public half
    checkpoint                 a signed checkpoint of just this ledger, and of the manifest
    images/<pool>/<drive>.img  optional: the images of the drives that are ready
    manifest.json              what there is, with digests

It holds the key and the hashes of passwords, so directories have mode 0700 and files 0600.
"""
