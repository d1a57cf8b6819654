"""The floor of an HTTP read: aiohttp answering fixed bytes, without middleware or a database.

Reads eight bytes of length and a body from stdin, prints its port, and serves until it is ended.
"""

import asyncio
import sys

from aiohttp import web


async def serve(body: bytes, content_type: str) -> None:
    headers = {"Content-Type": content_type}

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    length = int.from_bytes(sys.stdin.buffer.read(8))
    asyncio.run(serve(sys.stdin.buffer.read(length), sys.argv[1]))
