"""Compressed bodies: inflated at once, but no further than a body may be long.

A few bytes can inflate to many thousand times as many. Since the decoder stops at the limit, what
is left takes a few milliseconds at the most, and needs neither a limit of the ratio nor a thread.
"""

import zlib
from collections.abc import Callable, Mapping

import zstandard

MEMBERS_MAX = 16
"""Streams in one body, one behind the other. Each costs a copy of what is behind it."""
ZSTD_WINDOW_BYTES = 8 * 1024 * 1024
_ZSTD_STEP_BYTES = 64
"""What zstd gets at a time, as it cannot be told where to stop: 16 blocks of 128 KiB, inflated."""
_GZIP_BITS = 16 + zlib.MAX_WBITS
_METHOD_MASK = 0x0F


class BodyTooLong(Exception):
    """A body inflates to more than it may."""


class BadEncoding(Exception):
    """A body is not encoded as it says, or is cut short."""


def inflate(body: bytes, encoding: str, most: int) -> bytes:
    """Return the content of a body in one of the `ENCODINGS`, of up to so many bytes.

    Raise `BodyTooLong` or `BadEncoding`.
    """
    inflate_stream = _STREAMS[encoding]
    content = b""
    for _ in range(MEMBERS_MAX):
        inflated, body = inflate_stream(body, most - len(content))
        content += inflated
        if not body:
            return content
    raise BadEncoding


def _inflate_gzip(body: bytes, most: int) -> tuple[bytes, bytes]:
    return _inflate_zlib(body, most, _GZIP_BITS)


def _inflate_deflate(body: bytes, most: int) -> tuple[bytes, bytes]:
    """Inflate with or without zlib's header: there are clients of both kinds."""
    has_header = body[:1] and body[0] & _METHOD_MASK == zlib.DEFLATED
    return _inflate_zlib(body, most, zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _inflate_zlib(body: bytes, most: int, window_bits: int) -> tuple[bytes, bytes]:
    """Return what a stream holds, and what is behind it."""
    stream = zlib.decompressobj(window_bits)
    try:
        content = stream.decompress(body, most + 1)
    except zlib.error:
        raise BadEncoding from None
    if len(content) > most:
        raise BodyTooLong
    if not stream.eof:
        raise BadEncoding
    return content, stream.unused_data


def _inflate_zstd(body: bytes, most: int) -> tuple[bytes, bytes]:
    stream = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES).decompressobj()
    content = bytearray()
    for start in range(0, len(body), _ZSTD_STEP_BYTES):
        end = start + _ZSTD_STEP_BYTES
        try:
            content += stream.decompress(body[start:end])
        except zstandard.ZstdError:
            raise BadEncoding from None
        if len(content) > most:
            raise BodyTooLong
        if stream.eof:
            return bytes(content), stream.unused_data + body[end:]
    raise BadEncoding


_STREAMS: Mapping[str, Callable[[bytes, int], tuple[bytes, bytes]]] = {
    "gzip": _inflate_gzip,
    "deflate": _inflate_deflate,
    "zstd": _inflate_zstd,
}
ENCODINGS = tuple(_STREAMS)
