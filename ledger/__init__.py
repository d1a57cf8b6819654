"""What may happen, and the record of what did.

Pure decisions in the middle (events, commands, one module an aggregate), the store and the
copying of images at the edges. `application.Ledger` is the only door for writers.
"""
