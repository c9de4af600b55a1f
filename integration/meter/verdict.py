"""Decides what came of one request: an answer, a loss and which, or a failing of the meter.

Separate from the generator because the claim "not one lost" rests on it. Its rule: whatever is not
the right answer is a loss, unless the meter's own machine refused to send the request.
"""

from __future__ import annotations

import errno
import hashlib
from dataclasses import dataclass

import aiohttp

from integration.meter.connection import Dropped, Wire
from integration.meter.exchange import Loss

MAX_ANSWER = 4 * 1_048_576  # no answer of ours is longer; keeps the memory bounded

# What the machine refuses to the meter says nothing about the system under test.
_OWN_FAULTS = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a request; nothing set: it was answered."""

    loss: Loss | None = None
    detail: str = ""
    own_fault: str = ""


async def read_answer(response: aiohttp.ClientResponse) -> bytes:
    """Read the whole answer, but no more than the meter can hold.

    Raises:
        aiohttp.ClientPayloadError: the answer is longer than that, or breaks off.
    """
    chunks, size = [], 0
    while chunk := await response.content.readany():
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_ANSWER:
            raise aiohttp.ClientPayloadError(f"the answer is longer than {MAX_ANSWER} bytes")
    return b"".join(chunks)


def judged(wire: Wire, answer: bytes, body: bytes | None) -> Verdict:
    """Judge a whole answer: 200, and about the body that was sent."""
    if wire.status != 200:
        return Verdict(Loss.STATUS, str(wire.status))
    if body is not None and hashlib.sha256(body).hexdigest().encode() not in answer:
        return Verdict(Loss.WRONG_BODY, f"no sha256 of our body in {answer[:40]!r}")
    return Verdict()


def explained(error: Exception, wire: Wire) -> Verdict:
    """Say which loss an error is, what it was, and whether the fault is the meter's own."""
    if isinstance(error, Dropped):
        error = error.error
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return Verdict(Loss.STATUS, f"{error.status}, {error.message}")
    detail = f"{type(error).__name__}: {error}".removesuffix(": ")
    number = error.errno if isinstance(error, OSError) else None
    return Verdict(
        _loss(error, wire),
        detail,
        f"the meter's machine: {detail}" if number in _OWN_FAULTS else "",
    )


def _loss(error: Exception, wire: Wire) -> Loss:
    if wire.status not in {None, 101, 200}:
        return Loss.STATUS
    if isinstance(error, TimeoutError):
        return Loss.TIMEOUT
    if wire.status is not None:
        return Loss.TRUNCATED
    return Loss.REFUSED if isinstance(error, aiohttp.ClientConnectorError) else Loss.CUT
