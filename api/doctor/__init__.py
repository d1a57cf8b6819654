"""The doctor: it checks a ledger, its data directory and its pools, and reports what is wrong.

It only reads. A running service examines itself: it knows its pools, and whether it is writing an
archive. Without one, the doctor examines the files.
"""
