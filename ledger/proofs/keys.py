"""The key that signs a ledger's checkpoints, in the data directory, and its public half."""

import contextlib
import os
import secrets
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from ledger.domain.errors import Misconfigured
from ledger.merkle.signed_note import KEY_BYTES, BadKey, Signer, Verifier

KEY_FILE = "checkpoint.key"
VERIFIER_FILE = "checkpoint.pub"
NAME = "job-ledger"
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyUnusable(Misconfigured):
    """The key file cannot be read, is not a key, or can be read by others than its owner."""


def signer_of(data: Path, *, new_id: Callable[[], str]) -> Signer:
    """Return the key of this data directory, and make it if there was never one.

    It signs as `job-ledger/` and a uuid that is drawn with it. Raise `KeyUnusable`, and OSError if
    it cannot be made.
    """
    file, public = data / KEY_FILE, data / VERIFIER_FILE
    # The public half comes second: where it is, there was a key, which is never made anew.
    if not public.exists() and not file.exists():
        _make(file, Signer(f"{NAME}/{new_id()}", secrets.token_bytes(KEY_BYTES)).secret_text())
    signer = kept_signer(data)
    if not public.exists():
        _make(public, str(signer.verifier))
    return signer


def kept_signer(data: Path) -> Signer:
    """Return the existing key, and make none. Raise `KeyUnusable`, also if there is none."""
    file, public = data / KEY_FILE, data / VERIFIER_FILE
    signer = _read_signer(file)
    if public.exists() and str(verifier_of(data)) != str(signer.verifier):
        raise KeyUnusable(f"{public} is not of the key in {file}: one of them was replaced")
    return signer


def verifier_of(data: Path) -> Verifier:
    """Return the public half, which is kept beside the key. Raise `KeyUnusable`."""
    file = data / VERIFIER_FILE
    try:
        return Verifier.of_text(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, BadKey) as error:
        raise KeyUnusable(f"{file}: {error}") from error


def _read_signer(file: Path) -> Signer:
    try:
        with file.open(encoding="utf-8") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & _OTHERS:
                raise KeyUnusable(f"others may read {file}: its mode is {mode:04o}, not 0600")
            return Signer.of_text(opened.read())
    except FileNotFoundError:
        raise KeyUnusable(f"{file} is missing: put it back from a backup") from None
    except (OSError, ValueError, BadKey) as error:
        raise KeyUnusable(f"{file}: {error}") from error


def _make(file: Path, line: str) -> None:
    """Make the file whole, durable and with mode 0600, unless it exists by then."""
    fd, new = tempfile.mkstemp(dir=file.parent, prefix=f"{file.name}.")
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as opened:
            opened.write(f"{line}\n")
            opened.flush()
            os.fsync(opened.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(new, file)
    finally:
        Path(new).unlink()
    _sync_directory(file.parent)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
