"""The manifest: what a backup consists of, with a digest of every file, and one of itself."""

import hashlib
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from projections.maintenance.backup.errors import BadBackup

MANIFEST = "manifest.json"
FORMAT = 1
MANIFEST_BYTES_MAX = 1024**3
"""Room for the images of millions of drives."""


class FileRecord(Struct, frozen=True, forbid_unknown_fields=True):
    """A file as it was written; `digest` is its SHA-256."""

    bytes: int
    digest: str


class Manifest(Struct, frozen=True, forbid_unknown_fields=True):
    """A backup; `files` are by their paths in it, `images` says whether they were asked for."""

    format: int
    made: datetime
    position: int
    images: bool
    files: dict[str, FileRecord]


class _Sealed(Struct, frozen=True, forbid_unknown_fields=True):
    """`digest` is the SHA-256 of the manifest's bytes, as they are written."""

    digest: str
    backup: msgspec.Raw


_sealed = msgspec.json.Decoder(_Sealed).decode
_manifest = msgspec.json.Decoder(Manifest).decode


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as it is kept."""
    backup = msgspec.json.encode(manifest)
    sealed = _Sealed(hashlib.sha256(backup).hexdigest(), msgspec.Raw(backup))
    return msgspec.json.encode(sealed) + b"\n"


def read_manifest(backup: Path) -> Manifest:
    """The manifest of a backup. Raises `BadBackup`."""
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
    # Built back and compared, so that it has been changed nowhere, not even beside its digest.
    if encode_manifest(manifest) != content:
        raise BadBackup(f"{path} was changed: its digest is another")
    if manifest.format != FORMAT:
        raise BadBackup(f"{path} has format {manifest.format}; this is format {FORMAT}")
    return manifest
