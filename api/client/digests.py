"""Digests that a service gives of what it has (RFC 9530)."""

import re
from base64 import b64decode
from collections.abc import Mapping

WANT = {"Want-Repr-Digest": "sha-256=1"}
_SHA256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):")


def digest_in(headers: Mapping[str, str]) -> bytes | None:
    """Return the SHA-256 of the whole that an answer gives, if it gives one."""
    given = _SHA256.search(headers.get("Repr-Digest", ""))
    return None if given is None else b64decode(given[1])
