"""The manifest of a backup: a digest of each of its files.

The backup's checkpoint, which is signed, has the digest of the manifest. So nobody without the key
can change any file of the backup, the accounts and images included.
"""

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from projections.maintenance.backup.errors import BadBackup

MANIFEST = "manifest.json"
FORMAT = 2
UNSEALED_FORMAT = 1
"""The format of versions that did not sign it."""
MANIFEST_BYTES_MAX = 1024**3
"""Enough for the images of millions of drives."""


class FileRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A file as it was written; `digest` is its SHA-256."""

    bytes: int
    digest: str


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """A backup: its `files` by their paths, and whether it was to include images.

    The manifest is not among them, nor the checkpoint, which is about it.
    """

    format: int
    made: datetime
    position: int
    images: bool
    files: dict[str, FileRecord]


class _Earlier(Struct, frozen=True, forbid_unknown_fields=True):
    """A manifest of an earlier version, and its own digest, which anyone can compute."""

    digest: str
    backup: msgspec.Raw


_manifest = msgspec.json.Decoder(Manifest).decode
_earlier = msgspec.json.Decoder(_Earlier).decode


def encode_manifest(manifest: Manifest) -> bytes:
    return msgspec.json.encode(manifest) + b"\n"


def seal_of(content: bytes) -> bytes:
    """Return what the signed checkpoint of a backup says of its manifest."""
    return hashlib.sha256(content).digest()


def read_manifest(backup: Path, seal: bytes | None, *, unsealed: bool) -> Manifest:
    """Read the manifest of a backup, which has to have the seal of its checkpoint.

    One of an earlier version has none, and is only read if the caller accepts it `unsealed`. Raise
    `BadBackup`.
    """
    path = backup / MANIFEST
    content = _read(path)
    if seal is None:
        return _read_unsealed(path, content, accepted=unsealed)
    if seal_of(content) != seal:
        raise BadBackup(f"{path} was changed: it is not the one that was signed")
    manifest = _decoded(path, content)
    if manifest.format != FORMAT:
        raise BadBackup(f"{path} has format {manifest.format}; this is format {FORMAT}")
    return manifest


def _read_unsealed(path: Path, content: bytes, *, accepted: bool) -> Manifest:
    try:
        earlier = _earlier(content)
    except msgspec.MsgspecError as error:
        raise BadBackup(f"{path} is not the one that was signed: none was") from error
    if not accepted:
        raise BadBackup(
            f"{path} was written by an earlier version, which did not sign it: if nobody can have"
            " changed the backup, restore it with --unsealed"
        )
    if hashlib.sha256(bytes(earlier.backup)).hexdigest() != earlier.digest:
        raise BadBackup(f"{path} was changed: its digest is another")
    manifest = _decoded(path, bytes(earlier.backup))
    if manifest.format != UNSEALED_FORMAT:
        raise BadBackup(f"{path} has format {manifest.format}, which is signed")
    return manifest


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MANIFEST_BYTES_MAX)
    except OSError as error:
        raise BadBackup(f"{path}: {error.strerror}") from error


def _decoded(path: Path, content: bytes) -> Manifest:
    try:
        return _manifest(content)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadBackup(f"{path} is no manifest: {error}") from error
