"""The sample's little brother for what does not speak HTTP: it greets, and says lines back.

A client gets one line that says who answers, and then each line it sends, with the version before
it. Like the sample, it cuts everything open when told to stop. Set by the environment: PORT,
VERSION, BIND_AFTER (seconds).
"""

import asyncio
import os
import signal
import socket


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    version = os.environ.get("VERSION", "v1")
    try:
        writer.write(f"{version} {socket.gethostname()}\n".encode())
        await writer.drain()
        async for line in reader:
            writer.write(version.encode() + b" " + line)
            await writer.drain()
    except ConnectionError:
        return  # the client has gone, and nobody is left to tell
    finally:
        writer.close()


async def serve() -> None:
    """Bind late, then serve until killed."""
    await asyncio.sleep(float(os.environ.get("BIND_AFTER", "0.5")))
    server = await asyncio.start_server(talk, "0.0.0.0", int(os.environ.get("PORT", "8000")))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    asyncio.run(serve())
