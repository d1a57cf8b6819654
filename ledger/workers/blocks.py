"""What comes over the network in small pieces, in blocks that are worth a thread's while."""

from collections.abc import AsyncIterator

INTAKE_BYTES = 4 * 1024 * 1024
"""How much of an upload is gathered before a thread writes it."""


async def gathered(stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in larger blocks."""
    block = bytearray()
    async for piece in stream:
        block += piece
        if len(block) >= INTAKE_BYTES:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)
