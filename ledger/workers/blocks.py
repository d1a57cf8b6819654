"""Small pieces from the network, joined into blocks that are worth a thread's while."""

from collections.abc import AsyncIterator

INTAKE_BYTES = 4 * 1024 * 1024
"""How much of an upload is collected before a thread writes it."""


async def join_blocks(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the same bytes in larger blocks."""
    block = bytearray()
    async for piece in stream:
        block += piece
        if len(block) >= INTAKE_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)
