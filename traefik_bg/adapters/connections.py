"""Counts the connections a replica still answers, whatever its image.

Apart from the engine because Docker does not know them: the kernel does, in the tables of the
replica's network namespace under /proc. A drain ends early when the count is zero, so whatever
might still carry an answer is counted, and what cannot be known is None, never zero.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import re
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from traefik_bg.core.ports import Container

_ESTABLISHED, _CLOSE_WAIT = "01", "08"
_FIN_WAIT1, _LAST_ACK, _CLOSING = "04", "09", "0B"
# CLOSE_WAIT: the other side has closed its half, and may still read the answer.
_OPEN = {_ESTABLISHED, _CLOSE_WAIT}
# The app has closed, and the kernel may still be sending the end of its answer; the replica's
# network, and what waits there, vanishes with its process.
_SENDING = {_FIN_WAIT1, _LAST_ACK, _CLOSING}

MISSES = 5  # in a row from the start; a process that is just ending explains one or two

_CONTAINER_ID = re.compile(r"[0-9a-f]{64}")
_LOCAL_ADDRESS = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")

log = structlog.get_logger()


class ProcConnectionCounter:
    """Implements the port `ConnectionCounter` where the host's processes can be seen."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._misses = 0.0

    async def open_connections(self, container: Container, port: int) -> int | None:
        """Return the replica's established connections on its port; None: cannot be counted."""
        # In a thread: the kernel takes milliseconds to write a table, however short it is.
        count = await asyncio.to_thread(self._count, container, port)
        self._report(container, count)
        return count

    def _report(self, container: Container, count: int | None) -> None:
        """Say once, if nothing can ever be counted, what would help; drains last longer so."""
        if count is not None:
            self._misses = -math.inf
        elif container.pid:
            self._misses += 1
        if self._misses == MISSES:
            log.warning(
                "connections.unseen",
                effect="drains last as long as they may",
                hint="a service in a container needs the host's processes: pid: host",
            )

    def _count(self, container: Container, port: int) -> int | None:
        if not container.pid:
            return None
        process = self._proc / str(container.pid)
        try:
            if not _is_process_of(container, process):
                return None
            tables = [(process / "net" / "tcp").read_text(), _optional(process / "net" / "tcp6")]
            # Read again: the process may have ended meanwhile, and its number be another's.
            return open_rows(tables, port) if _is_process_of(container, process) else None
        except OSError:
            return None


def _is_process_of(container: Container, process: Path) -> bool:
    """Tell whether a process is the container's, and not a stranger's of the same number.

    Inside a container of our own, or with a remote Docker, numbers mean other processes. The
    control group names the container; where it does not, the network namespace must at least have
    the container's address.
    """
    groups = set(_CONTAINER_ID.findall((process / "cgroup").read_text()))
    if groups:
        return container.id in groups
    return bool(container.ip) and container.ip in _addresses(process / "net")


def _addresses(net: Path) -> set[str]:
    found = set(_LOCAL_ADDRESS.findall((net / "fib_trie").read_text()))
    lines = _optional(net / "if_inet6").splitlines()
    return found | {str(ipaddress.IPv6Address(int(line.split()[0], 16))) for line in lines}


def _optional(table: Path) -> str:
    """Return a table of IPv6; a kernel without it has none."""
    return table.read_text() if table.exists() else ""


def open_rows(tables: Iterable[str], port: int) -> int:
    """Return how many rows of /proc/net/tcp tables are connections on the port being answered."""
    rows = (row.split(maxsplit=5) for table in tables for row in table.splitlines()[1:])
    local = f":{port:04X}"
    return sum(row[1].endswith(local) and _is_open(row) for row in rows)


def _is_open(row: Sequence[str]) -> bool:
    remote, state, queues = row[2], row[3], row[4]
    if state in _OPEN or (state in _SENDING and not queues.startswith("00000000:")):
        # From loopback it is its own HEALTHCHECK: Traefik is never in here.
        return not _is_loopback(remote.partition(":")[0])
    return False


def _is_loopback(address: str) -> bool:
    """Tell whether an address is loopback; the kernel writes it in words of the host's order."""
    words = [address[index : index + 8] for index in range(0, len(address), 8)]
    raw = b"".join(socket.ntohl(int(word, 16)).to_bytes(4, "big") for word in words)
    found = ipaddress.ip_address(raw)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
