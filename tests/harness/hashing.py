"""Makes the hashes of passwords cheap, in the tests' processes and in those that they fork.

A hash costs a fifth of a second of all processors, so that guessing is slow; tests log in thousands
of times. `tests/accounts/test_credentials.py` has the price that users pay.
"""

import argon2

from api.accounts import credentials


def make_hashes_cheap() -> None:
    credentials._hasher = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
