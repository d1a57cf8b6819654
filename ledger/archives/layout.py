"""Where the parts of an archive lie, and how each is packed.

Nothing is unpacked before its digest and its unpacked size have been checked: a small file cannot
make a reader use much memory.
"""

import hashlib
import re
import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import zstandard
from msgspec import Struct

from ledger.archives.errors import BadArchive
from ledger.archives.trees import TreesSpan

FORMAT = 1
SUFFIX = ".jsonl.zst"
PART = ".part"
"""The suffix of a file that is not complete yet."""
LEVEL = 9
"""Of 3, 6, 9, 12 and 15; higher levels made files hardly smaller, but slower to write."""
FRAME_EVENTS = 2_000
"""A frame ends after this many events: 4,000 made files 4 % smaller, 1,000 made them 6 % larger."""
FRAME_BYTES = 4 * 1024**2
"""A frame ends sooner if its lines have this many bytes."""
FRAME_BYTES_MOST = 64 * 1024**2
"""No frame is larger, unpacked."""
TREES_TOGETHER = 1_000
"""Trees that are packed together: few enough that other threads do not wait long."""
INDEX_BYTES_MOST = 512 * 1024**2
"""No part of an index is larger, unpacked; that suffices for 32 million streams."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_SKIPPABLE = struct.Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A50
_FOOTER = struct.Struct("<II32sI8s")
_MAGIC = b"jobledgr"


class Packed(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One part of the index: its bytes in the file, and when unpacked."""

    length: int
    size: int
    digest: bytes


class Frame(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A frame's bytes in the file, and when unpacked, and its events.

    The leaf indexes are the lowest and the highest. Offsets follow from the lengths.
    """

    length: int
    size: int
    digest: bytes
    events: int
    first: int
    last: int
    first_leaf: int
    last_leaf: int


class Trees(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Some of the trees: where they are, and what they span."""

    packed: Packed
    span: TreesSpan


class Contents(Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """What is in an archive, and where."""

    frames: tuple[Frame, ...]
    streams: Packed
    trees: tuple[Trees, ...]

    @property
    def index_start(self) -> int:
        """Where the frames end and the index begins."""
        return sum(frame.length for frame in self.frames)


class Footer(NamedTuple):
    """The end of the file: how long the index and the contents in it are."""

    index_length: int
    contents_length: int
    digest: bytes


FOOTER_BYTES = _FOOTER.size
HEADER_BYTES = _SKIPPABLE.size

_decode_contents = msgspec.msgpack.Decoder(Contents).decode


def digest_of(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def pack(content: bytes, compressor: zstandard.ZstdCompressor) -> tuple[Packed, bytes]:
    packed = compressor.compress(content)
    return Packed(len(packed), len(content), digest_of(packed)), packed


def unpack(packed: bytes, of: Packed | Frame) -> bytes:
    """Return the content of a part. Raise `BadArchive` if it is not what was packed."""
    if digest_of(packed) != of.digest:
        raise BadArchive("a part of it was changed, or lies elsewhere")
    most = FRAME_BYTES_MOST if isinstance(of, Frame) else INDEX_BYTES_MOST
    return _decompress(packed, of.size, most)


def _decompress(packed: bytes, size: int | None, most: int) -> bytes:
    """Decompress; `size` None is what the frame itself claims."""
    try:
        claimed = zstandard.frame_content_size(packed)
        if not 0 <= claimed <= most:
            raise BadArchive(f"a part of it comes to {claimed} bytes, and {most} are the most")
        content = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise BadArchive(f"a part of it cannot be unpacked: {error}") from error
    if size is not None and len(content) != size:
        raise BadArchive(f"a part of it comes to {len(content)} bytes, not {size}")
    return content


def index(contents: Contents, streams: bytes, trees: Sequence[bytes]) -> bytes:
    """Return the index as it follows the frames, including its footer."""
    packed = zstandard.ZstdCompressor(LEVEL, write_checksum=True).compress(
        msgspec.msgpack.encode(contents)
    )
    length = len(streams) + sum(map(len, trees)) + len(packed) + FOOTER_BYTES
    header = _SKIPPABLE.pack(_SKIPPABLE_MAGIC, length)
    footer = _footer(length, len(packed), packed)
    return b"".join((header, streams, *trees, packed, footer))


def _footer(length: int, contents_length: int, packed: bytes) -> bytes:
    claimed = struct.pack("<III", length, contents_length, FORMAT)
    return _FOOTER.pack(length, contents_length, digest_of(claimed, packed), FORMAT, _MAGIC)


def read_footer(footer: bytes) -> Footer:
    """Read the last bytes of an archive. Raise `BadArchive` if they are not of this format."""
    if len(footer) != FOOTER_BYTES or not footer.endswith(_MAGIC):
        raise BadArchive("it does not end as an archive ends: cut off, or something else")
    index_length, contents_length, digest, version, _ = _FOOTER.unpack(footer)
    if version != FORMAT:
        raise BadArchive(f"it is of format {version}, and this reads format {FORMAT}")
    if contents_length + FOOTER_BYTES > index_length:
        raise BadArchive("its index is shorter than what is in it")
    return Footer(index_length, contents_length, digest)


def read_contents(packed: bytes, footer: Footer) -> Contents:
    """Read the contents. Raise `BadArchive` if they are not those that the footer names."""
    claimed = struct.pack("<III", footer.index_length, footer.contents_length, FORMAT)
    if digest_of(claimed, packed) != footer.digest:
        raise BadArchive("its contents or its footer were changed")
    try:
        contents = _decode_contents(_decompress(packed, None, INDEX_BYTES_MOST))
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadArchive(f"its contents cannot be read: {error}") from error
    _check_frames(contents.frames)
    tree_bytes = sum(trees.packed.length for trees in contents.trees)
    if (
        contents.streams.length + tree_bytes + footer.contents_length + FOOTER_BYTES
        != footer.index_length
    ):
        raise BadArchive("its index has not the parts that it tells of")
    return contents


def _check_frames(frames: Sequence[Frame]) -> None:
    for frame in frames:
        if frame.length <= 0 or frame.events <= 0 or frame.first > frame.last:
            raise BadArchive("its index tells of a frame that cannot be")
    if any(one.last >= next_.first for one, next_ in pairwise(frames)):
        raise BadArchive("its frames are not in the order of positions")


def is_index_header(header: bytes, footer: Footer) -> bool:
    return header == _SKIPPABLE.pack(_SKIPPABLE_MAGIC, footer.index_length)


def is_name(name: str) -> bool:
    """Whether an archive may have this name, which never leads out of its directory."""
    return _NAME.fullmatch(name) is not None


def archive_path(directory: Path, name: str) -> Path:
    return directory / f"{name}{SUFFIX}"
