"""Signed notes and checkpoints, as C2SP has them (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).

A note is a text, an empty line, and signatures of the text, each a line with the name and the id of
its key. A checkpoint is a note with the size and the root of a log's tree. Ours has two more lines:
the epoch of the ledger and the position of the last event.
"""

import hashlib
import re
from base64 import b64decode, b64encode
from typing import NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from ledger.domain.errors import Expected
from ledger.merkle.tree import HASH_BYTES

NOTE_BYTES = 64 * 1024
"""The longest note that is read: room for many signatures of others."""
KEY_BYTES = 32
ID_BYTES = 4
_ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+\x00-\x1f\x7f]+")
_SIGNATURE = re.compile(r"\u2014 (\S+) (\S+)")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


class BadKey(Expected):
    """The text is no key, or not of the kind that is wanted."""


class BadCheckpoint(Expected):
    """The text is no checkpoint, or not one that this key has signed."""


# Keys


class Verifier:
    """The public half of a key, with which signatures are verified."""

    def __init__(self, name: str, public: bytes) -> None:
        if not _NAME.fullmatch(name):
            raise BadKey(f"not a name for a key: {name!r}")
        self.name = name
        self.id = _key_id(name, public)
        self._public = public
        self._key = Ed25519PublicKey.from_public_bytes(public)

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Read a key that is written as `name+id+key`. Raise `BadKey`."""
        name, found, public = _key_parts(text.strip())
        verifier = cls(name, public)
        if verifier.id.hex() != found:
            raise BadKey("the id of the verifier key does not fit the key")
        return verifier

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encode_base64(_ED25519 + self._public)}"

    def has_signed(self, text: str, signature: bytes) -> bool:
        try:
            self._key.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class Signer:
    """The secret half of a key, with which notes are signed."""

    _PREFIX = "PRIVATE+KEY+"

    def __init__(self, name: str, seed: bytes) -> None:
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = Verifier(name, self._key.public_key().public_bytes_raw())

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Read a key that is written as `PRIVATE+KEY+name+id+seed`. Raise `BadKey`."""
        text = text.strip()
        if not text.startswith(cls._PREFIX):
            raise BadKey("a signer's key begins with PRIVATE+KEY")
        name, found, seed = _key_parts(text.removeprefix(cls._PREFIX))
        signer = cls(name, seed)
        if signer.verifier.id.hex() != found:
            raise BadKey("the id of the signer's key does not fit the key")
        return signer

    @property
    def name(self) -> str:
        return self.verifier.name

    def secret_text(self) -> str:
        """Return what `of_text` reads. There is no `__str__`, which could print it by mistake."""
        verifier = self.verifier
        secret = _encode_base64(_ED25519 + self._seed)
        return f"{self._PREFIX}{verifier.name}+{verifier.id.hex()}+{secret}"

    def sign(self, text: str) -> str:
        """Return the signed note of this text, which ends in a newline."""
        assert text.endswith("\n")
        assert not _CONTROL.search(text)
        signature = _encode_base64(self.verifier.id + self._key.sign(text.encode()))
        return f"{text}\n\u2014 {self.name} {signature}\n"


def _key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(f"{name}\n".encode() + _ED25519 + public).digest()[:ID_BYTES]


def _key_parts(text: str) -> tuple[str, str, bytes]:
    """Return a key's name, its id as it is written, and its bytes."""
    name, _, rest = text.partition("+")
    found, _, encoded = rest.partition("+")
    try:
        key = _decode_base64(encoded)
    except ValueError as error:
        raise BadKey("the key is not written in the form of a note's keys") from error
    if not key.startswith(_ED25519) or len(key) != len(_ED25519) + KEY_BYTES:
        raise BadKey("the key is not an Ed25519 key")
    return name, found, key[len(_ED25519) :]


# Notes


def open_note(note: bytes, verifier: Verifier) -> str:
    """Return the text of a note that this key has signed; other signatures are ignored.

    Raise `BadCheckpoint`.
    """
    if len(note) > NOTE_BYTES:
        raise BadCheckpoint(f"the note has more than {NOTE_BYTES} bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise BadCheckpoint("the note is not UTF-8") from error
    if _CONTROL.search(whole):
        raise BadCheckpoint("the note contains control characters")
    text, empty_line, signatures = whole.rpartition("\n\n")
    if not empty_line or not signatures.endswith("\n"):
        raise BadCheckpoint("the note has no signatures, or was cut short")
    text += "\n"
    found = [_signature_of(line, verifier) for line in signatures[:-1].split("\n")]
    ours = [signature for signature in found if signature is not None]
    if not ours:
        raise BadCheckpoint(f"not signed by {verifier.name} with the key {verifier.id.hex()}")
    if not all(verifier.has_signed(text, signature) for signature in ours):
        raise BadCheckpoint(f"the signature of {verifier.name} does not fit this text")
    return text


def _signature_of(line: str, verifier: Verifier) -> bytes | None:
    """Return the signature on a line; None if it is by another key."""
    parts = _SIGNATURE.fullmatch(line)
    if parts is None:
        raise BadCheckpoint("a line among the signatures is not a signature")
    try:
        signature = _decode_base64(parts[2])
    except ValueError as error:
        raise BadCheckpoint("a signature is not base64") from error
    if parts[1] != verifier.name or signature[:ID_BYTES] != verifier.id:
        return None
    return signature[ID_BYTES:]


# Checkpoints


class Checkpoint(NamedTuple):
    """A statement about the tree of a ledger.

    Trees of one epoch continue each other; a restore begins a new epoch. `position` is that of the
    tree's last leaf. The checkpoint of a backup also states the SHA-256 of the `backup`'s manifest.
    """

    origin: str
    size: int
    root: bytes
    epoch: int
    position: int
    backup: bytes | None = None

    def text(self) -> str:
        of_backup = "" if self.backup is None else f"backup {_encode_base64(self.backup)}\n"
        return (
            f"{self.origin}\n{self.size}\n{_encode_base64(self.root)}\n"
            f"epoch {self.epoch}\nposition {self.position}\n{of_backup}"
        )


def read_checkpoint(note: bytes, verifier: Verifier) -> Checkpoint:
    """Return the checkpoint in a note that this key has signed. Raise `BadCheckpoint`."""
    checkpoint = parse_checkpoint(open_note(note, verifier))
    if checkpoint.origin != verifier.name:
        raise BadCheckpoint(
            f"the checkpoint is of {checkpoint.origin}, and signed by {verifier.name}"
        )
    return checkpoint


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint in a text, whose signature is not checked. Raise `BadCheckpoint`."""
    try:
        origin, size, root, epoch, position, *more, end = text.split("\n")
        checkpoint = Checkpoint(
            origin,
            _parse_number(size),
            _decode_base64(root),
            _parse_number(_remove_prefix("epoch ", epoch)),
            _parse_number(_remove_prefix("position ", position)),
            _parse_backup(*more),
        )
    except ValueError as error:
        raise BadCheckpoint("the note is not a checkpoint of a ledger") from error
    hashes = [each for each in (checkpoint.root, checkpoint.backup) if each is not None]
    if end or not origin or {*map(len, hashes)} != {HASH_BYTES} or not checkpoint.epoch:
        raise BadCheckpoint("the checkpoint has an impossible value")
    return checkpoint


def _parse_backup(line: str | None = None, *more: str) -> bytes | None:
    """Read the line that only the checkpoint of a backup has. Raise ValueError."""
    if more:
        raise ValueError(more)
    return None if line is None else _decode_base64(_remove_prefix("backup ", line))


def _remove_prefix(word: str, line: str) -> str:
    if not line.startswith(word):
        raise ValueError(line)
    return line.removeprefix(word)


def _parse_number(text: str) -> int:
    """Read ASCII digits without leading zeros. Raise ValueError."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _encode_base64(data: bytes) -> str:
    return b64encode(data).decode()


def _decode_base64(text: str) -> bytes:
    """Decode canonical base64. Raise ValueError."""
    data = b64decode(text, validate=True)
    if _encode_base64(data) != text:
        raise ValueError(text)
    return data
