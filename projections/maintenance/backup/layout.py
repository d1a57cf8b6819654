"""The names of files in a backup; as in a data directory, except for images."""

from pathlib import Path

from ledger.proofs.keys import KEY_FILE, VERIFIER_FILE
from projections.maintenance.retention.compaction import ARCHIVES

LEDGER = "ledger.sqlite"
CHECKPOINT = "checkpoint"
IMAGES = "images"

__all__ = ["ARCHIVES", "CHECKPOINT", "IMAGES", "KEY_FILE", "LEDGER", "VERIFIER_FILE", "files_in"]


def files_in(directory: Path) -> list[str]:
    """Return all files below a directory, by their paths in it."""
    return sorted(
        str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()
    )
