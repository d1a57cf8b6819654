"""Disk images: where they are, and how they are made, copied and received. Linux only."""

from ledger.domain.events import Fingerprint
from ledger.images.background_sync import Checkpoint
from ledger.images.chunk_layout import CHUNKS_MAX, Chunking
from ledger.images.chunked_upload import ChunkedUpload, IncomingChunk
from ledger.images.copy import copy_image
from ledger.images.errors import (
    CopyFailed,
    CopyStopped,
    ImageBusy,
    ImageError,
    ImageMissing,
    PartTaken,
    PoolFull,
    PoolMissing,
    SourceChanged,
    SourceVanished,
    VerificationFailed,
    owner_reason,
)
from ledger.images.extents import data_extents
from ledger.images.figures import Figures
from ledger.images.files import (
    create_blank,
    fingerprint,
    grow,
    publish,
    remove,
    sync_directory,
    write_once,
)
from ledger.images.incoming_image import IncomingImage
from ledger.images.parts import take_over
from ledger.images.pools import STORAGE_TYPES, Pool, parse_pool
from ledger.images.rate import RateLimit

__all__ = [
    "CHUNKS_MAX",
    "STORAGE_TYPES",
    "Checkpoint",
    "ChunkedUpload",
    "Chunking",
    "CopyFailed",
    "CopyStopped",
    "Figures",
    "Fingerprint",
    "ImageBusy",
    "ImageError",
    "ImageMissing",
    "IncomingChunk",
    "IncomingImage",
    "PartTaken",
    "Pool",
    "PoolFull",
    "PoolMissing",
    "RateLimit",
    "SourceChanged",
    "SourceVanished",
    "VerificationFailed",
    "copy_image",
    "create_blank",
    "data_extents",
    "fingerprint",
    "grow",
    "owner_reason",
    "parse_pool",
    "publish",
    "remove",
    "sync_directory",
    "take_over",
    "write_once",
]
