"""The manifest of a backup: a digest of each of its files, and one of itself."""

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from projections.maintenance.backup.errors import BadBackup

MANIFEST = "manifest.json"
FORMAT = 1
MANIFEST_BYTES_MAX = 1024**3
"""Enough for the images of millions of drives."""


class FileRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A file as it was written; `digest` is its SHA-256."""

    bytes: int
    digest: str


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """A backup: its `files` by their paths, and whether it was to include images."""

    format: int
    made: datetime
    position: int
    images: bool
    files: dict[str, FileRecord]


class _Sealed(Struct, frozen=True, forbid_unknown_fields=True):
    """A manifest with `digest`, the SHA-256 of its bytes as written."""

    digest: str
    backup: msgspec.Raw


_sealed = msgspec.json.Decoder(_Sealed).decode
_manifest = msgspec.json.Decoder(Manifest).decode


def encode_manifest(manifest: Manifest) -> bytes:
    backup = msgspec.json.encode(manifest)
    sealed = _Sealed(hashlib.sha256(backup).hexdigest(), msgspec.Raw(backup))
    return msgspec.json.encode(sealed) + b"\n"


def read_manifest(backup: Path) -> Manifest:
    """Read the manifest of a backup. Raise `BadBackup`."""
    path = backup / MANIFEST
    try:
        with path.open("rb") as file:
            content = file.read(MANIFEST_BYTES_MAX)
        sealed = _sealed(content)
        manifest = _manifest(sealed.backup)
    except OSError as error:
        raise BadBackup(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadBackup(f"{path} is no manifest: {error}") from error
    # Encoded again and compared, so that no byte has changed, not even outside the digest.
    if encode_manifest(manifest) != content:
        raise BadBackup(f"{path} was changed: its digest is another")
    if manifest.format != FORMAT:
        raise BadBackup(f"{path} has format {manifest.format}; this is format {FORMAT}")
    return manifest
