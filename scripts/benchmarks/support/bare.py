"""The floor of a request: aiohttp answering fixed bytes, without middleware or a database.

It parses the body of a POST.

Reads eight bytes of length and a body from stdin, prints its port, and serves until it is ended.
"""

import asyncio
import sys

import orjson
from aiohttp import web


async def serve(body: bytes, content_type: str) -> None:
    headers = {"Content-Type": content_type}

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    async def parse_and_answer(request: web.Request) -> web.Response:
        orjson.loads(await request.read())
        return await answer(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    app.router.add_post("/{path:.*}", parse_and_answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    length = int.from_bytes(sys.stdin.buffer.read(8))
    asyncio.run(serve(sys.stdin.buffer.read(length), sys.argv[1]))
