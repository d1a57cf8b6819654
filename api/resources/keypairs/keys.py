"""SSH keys: public keys as OpenSSH writes them, and pairs that are made here.

A private key is in the answer to the request that makes it, and is stored nowhere.
"""

import asyncio
import base64
import hashlib
import re
from typing import Literal, NamedTuple, assert_never
from weakref import WeakValueDictionary

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_public_key,
)

from api.http.errors import BadRequest

Algorithm = Literal["rsa", "ed25519"]

RSA_BITS = 2048
"""As many as the documented service makes."""
_RSA_EXPONENT = 65537
_LINE = re.compile(r"[!-~]++[ \t]++[A-Za-z0-9+/]++={0,2}+(?:[ \t].*)?")
"""The type, the key in Base64, and maybe a comment: OpenSSH's own form, which is read as it is."""


class SshKeys(NamedTuple):
    """A public key and, unless only its owner has it, the private one."""

    public: str
    private: str = ""


def read_public_key(text: str) -> str:
    """Check a public key, and return it without the line break of its file.

    Raise `BadRequest`.
    """
    key = text.strip()
    try:
        if len(key.splitlines()) == 1 and _LINE.fullmatch(key):
            load_ssh_public_key(key.encode())
            return key
    except (ValueError, UnsupportedAlgorithm):
        pass
    message = "public_key must be a line such as `ssh-ed25519 AAAA... me@example`"
    raise BadRequest(message, point="public_key")


def fingerprint(public_key: str) -> str:
    """Return the MD5 of a public key, as `ssh-keygen -l -E md5` and the public API show it."""
    blob = base64.b64decode(public_key.split()[1])
    return hashlib.md5(blob, usedforsecurity=False).digest().hex(":")


def make_keys(algorithm: Algorithm) -> SshKeys:
    """Make a pair; RSA takes about a tenth of a second."""
    match algorithm:
        case "rsa":
            rsa = generate_private_key(_RSA_EXPONENT, RSA_BITS)
            public = rsa.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
            # In the format that the public API shows, and that every SSH client reads.
            private = rsa.private_bytes(
                Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
            )
        case "ed25519":
            ed25519 = Ed25519PrivateKey.generate()
            public = ed25519.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
            private = ed25519.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        case _:
            assert_never(algorithm)
    return SshKeys(public.decode(), private.decode())


class KeyMaker:
    """Makes pairs, one at a time: RSA takes a processor for a while. Accounts take turns."""

    def __init__(self) -> None:
        self._making = asyncio.Lock()
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def make(self, algorithm: Algorithm, account: str) -> SshKeys:
        turn = self._turns.setdefault(account, asyncio.Lock())
        async with turn, self._making:
            return await asyncio.to_thread(make_keys, algorithm)
