"""The frames of a websocket as they go over the wire (RFC 6455, section 5.2).

What a service sends is not masked, so a frame is the same for every client.
"""

import struct

_FINAL_TEXT = 0x81
_FINAL_CLOSE = 0x88
_SHORT = 126
"""Lengths from here on take two bytes more; and eight more where two are not enough."""
_LONG = 127
_TWO_BYTES = 1 << 16


def text_frame(payload: bytes) -> bytes:
    """Return a whole message of UTF-8 text."""
    length = len(payload)
    if length < _SHORT:
        head = struct.pack("!BB", _FINAL_TEXT, length)
    elif length < _TWO_BYTES:
        head = struct.pack("!BBH", _FINAL_TEXT, _SHORT, length)
    else:
        head = struct.pack("!BBQ", _FINAL_TEXT, _LONG, length)
    return head + payload


def close_frame(code: int, reason: bytes) -> bytes:
    """Return the last frame, with a short reason."""
    payload = struct.pack("!H", code) + reason
    assert len(payload) < _SHORT
    return struct.pack("!BB", _FINAL_CLOSE, len(payload)) + payload
