"""The frames of websockets as they go over the wire."""

import pytest

from api.http.wire.websocket_frames import close_frame, text_frame


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, "81 00"),
        (125, "81 7d"),
        (126, "81 7e 00 7e"),
        (65_535, "81 7e ff ff"),
        (65_536, "81 7f 00 00 00 00 00 01 00 00"),
    ],
)
def test_the_head_of_a_frame(length: int, head: str) -> None:
    """It is final, a text and not masked; its length has the shortest form (RFC 6455, 5.2)."""
    payload = b"x" * length
    assert text_frame(payload) == bytes.fromhex(head) + payload


def test_the_frame_that_closes() -> None:
    """It is final, and gives a code and a reason (RFC 6455, 5.5.1)."""
    assert close_frame(1001, b"stopping") == bytes.fromhex("88 0a 03 e9") + b"stopping"
