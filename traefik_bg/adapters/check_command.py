"""Runs the command of a check, and ends it with all that it started.

Separate from the other checks because nothing else of the service starts processes. The command
gets no shell and next to nothing of the service's environment, which may hold secrets.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

LONGEST_OUTPUT = 1 << 16  # bytes kept of its end: the last line is all that is told
LAST_WORDS = 0.2  # seconds for what it wrote to arrive; what it left running may hold its output
KILLED_WITHIN = 1.0  # seconds; nothing survives SIGKILL longer but what hangs in the kernel

_INHERITED = ("PATH", "HOME", "LANG")


async def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str]:
    """Return the exit code, negative for a signal, and the end of what it wrote.

    It is killed with its whole process group when the caller gives up waiting.

    Raises:
        OSError: it cannot be run.
    """
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    async with _pipe() as (output, write_end, hang_up):
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=write_end,
                stderr=write_end,
                env={**inherited, **environment},
                start_new_session=True,
            )
        finally:
            os.close(write_end)
        reading = asyncio.create_task(_end_of(output), name="output of a check")
        try:
            code = await process.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_WORDS):
                    await asyncio.shield(reading)
        finally:
            if process.returncode is None:
                await _kill(process)
            hang_up()  # whoever still holds its output
            said = await reading
    return code, said.decode(errors="replace")


@asynccontextmanager
async def _pipe() -> AsyncIterator[tuple[asyncio.StreamReader, int, Callable[[], None]]]:
    """Return a pipe of our own: a process's own counts as open while anybody holds it."""
    read_end, write_end = os.pipe()
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    try:
        yield reader, write_end, transport.close
    finally:
        transport.close()


async def _end_of(output: asyncio.StreamReader) -> bytes:
    end = b""
    while chunk := await output.read(LONGEST_OUTPUT):
        end = (end + chunk)[-LONGEST_OUTPUT:]
    return end


async def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(TimeoutError):
        async with asyncio.timeout(KILLED_WITHIN):
            await process.wait()
