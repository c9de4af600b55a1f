"""What counts as an open connection, in the kernel's own tables."""

from __future__ import annotations

import asyncio
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from traefik_bg.adapters.connections import ProcConnectionCounter, open_rows
from traefik_bg.core.model import AppName, ReplicaName, RevisionId
from traefik_bg.core.observation import ContainerState
from traefik_bg.core.ports import Container

ID, OTHER = "a" * 64, "b" * 64
REPLICA = Container(
    name=ReplicaName("web-1"),
    app=AppName("web"),
    revision=RevisionId("r"),
    number=1,
    id=ID,
    state=ContainerState.RUNNING,
    ip="172.18.0.2",
    pid=42,
)
TRAEFIK = "030012AC:CAFE"  # 172.18.0.3
HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
FIB = """Local:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 172.18.0.2
        /32 host LOCAL
     |-- 172.18.255.255
        /32 link BROADCAST
     |-- 172.18.0.9
        /32 universe UNICAST
"""


def row(
    state: str, *, port: int = 8000, peer: str = TRAEFIK, unsent: int = 0, unread: int = 0
) -> str:
    local = f"020012AC:{port:04X}"
    queues = f"{unsent:08X}:{unread:08X}"
    return f"   0: {local} {peer} {state} {queues} 00:00000000 00000000     0        0 1 1\n"


def counted(*rows: str) -> int:
    return open_rows([HEADER + "".join(rows)], 8000)


class TestRows:
    @pytest.mark.parametrize(("state", "expected"), [("01", 1), ("08", 1), ("0A", 0), ("06", 0)])
    def test_count_while_an_answer_may_be_under_way(self, state: str, expected: int) -> None:
        """Established ones count, and those whose other side has closed its half."""
        assert counted(row(state)) == expected

    @pytest.mark.parametrize("state", ["04", "09", "0B"])
    def test_count_while_the_kernel_still_sends(self, state: str) -> None:
        """The app has closed, but the end of its answer is still here, and would go with it."""
        assert counted(row(state)) == 0
        assert counted(row(state, unread=5)) == 0
        assert counted(row(state, unsent=5)) == 1

    def test_count_only_on_the_apps_port(self) -> None:
        """What the app itself asks of others is none of a drain's business."""
        outgoing = row("01", port=50000, peer="030012AC:1F40")

        assert counted(row("01"), row("01", port=8001), outgoing) == 1

    @pytest.mark.parametrize(
        "peer",
        [
            "0100007F:CAFE",
            "00000000000000000000000001000000:CAFE",
            "0000000000000000FFFF00000100007F:CAFE",
        ],
    )
    def test_do_not_count_from_loopback(self, peer: str) -> None:
        """A HEALTHCHECK inside the container is no visitor."""
        assert counted(row("01", peer=peer)) == 0

    def test_count_over_ipv6_as_well(self) -> None:
        """A server that listens for both has its IPv4 visitors in the other table."""
        assert counted(row("01", peer="0000000000000000FFFF0000030012AC:CAFE")) == 1
        assert counted(row("01", peer="B80D0120000000000000000003000000:CAFE")) == 1


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Return a /proc in which process 42 is the replica's."""
    net = tmp_path / "42" / "net"
    net.mkdir(parents=True)
    (tmp_path / "42" / "cgroup").write_text(f"0::/system.slice/docker-{ID}.scope\n")
    (net / "tcp").write_text(HEADER + row("01"))
    (net / "tcp6").write_text(HEADER + row("01", peer="0000000000000000FFFF0000030012AC:CAFE"))
    (net / "fib_trie").write_text(FIB)
    (net / "if_inet6").write_text("20010db8000000000000000000000002 01 40 00 80 eth0\n")
    return tmp_path


class TestCounter:
    async def test_counts_both_tables(self, proc: Path) -> None:
        """IPv4 and IPv6 visitors are one number."""
        assert await ProcConnectionCounter(proc).open_connections(REPLICA, 8000) == 2

    async def test_does_not_count_a_stranger_of_the_same_number(self, proc: Path) -> None:
        """A process that belongs to another container is not asked, whatever its address."""
        (proc / "42" / "cgroup").write_text(f"0::/docker/{OTHER}\n")

        assert await ProcConnectionCounter(proc).open_connections(REPLICA, 8000) is None

    async def test_counts_in_a_container_that_runs_inside_another(self, proc: Path) -> None:
        """Where control groups nest, the innermost name is the container's."""
        (proc / "42" / "cgroup").write_text(f"0::/docker/{OTHER}/docker/{ID}\n")

        assert await ProcConnectionCounter(proc).open_connections(REPLICA, 8000) == 2

    @pytest.mark.parametrize(
        ("ip", "expected"),
        [
            ("172.18.0.2", 2),
            ("2001:db8::2", 2),
            ("172.18.0.9", None),
            ("172.18.255.255", None),
            ("172.18.0.3", None),
            ("", None),
        ],
    )
    async def test_asks_the_network_where_control_groups_tell_nothing(
        self, proc: Path, ip: str, expected: int | None
    ) -> None:
        """The process must at least have the replica's own address, not only a way to it."""
        (proc / "42" / "cgroup").write_text("0::/\n")
        replica = replace(REPLICA, ip=ip)

        assert await ProcConnectionCounter(proc).open_connections(replica, 8000) == expected

    async def test_needs_no_ipv6(self, proc: Path) -> None:
        """A kernel without IPv6 has no such table, and nothing is missed."""
        (proc / "42" / "net" / "tcp6").unlink()
        (proc / "42" / "net" / "if_inet6").unlink()
        (proc / "42" / "cgroup").write_text("0::/\n")

        assert await ProcConnectionCounter(proc).open_connections(REPLICA, 8000) == 1

    @pytest.mark.parametrize("pid", [0, 43])
    async def test_knows_nothing_of_a_process_it_cannot_see(self, proc: Path, pid: int) -> None:
        """No process, no count: never zero."""
        replica = replace(REPLICA, pid=pid)

        assert await ProcConnectionCounter(proc).open_connections(replica, 8000) is None

    async def test_says_once_what_would_help_where_nothing_can_be_counted(
        self, tmp_path: Path
    ) -> None:
        """A service that cannot see its host's processes says so, and what to change."""
        counter = ProcConnectionCounter(tmp_path)
        with structlog.testing.capture_logs() as logs:
            for _ in range(20):
                await counter.open_connections(REPLICA, 8000)

        assert [line["event"] for line in logs] == ["connections.unseen"]
        assert "pid: host" in logs[0]["hint"]

    async def test_is_silent_where_it_can_count(self, proc: Path) -> None:
        """One replica that is just ending is no reason to complain."""
        counter = ProcConnectionCounter(proc)
        with structlog.testing.capture_logs() as logs:
            await counter.open_connections(REPLICA, 8000)
            for _ in range(20):
                await counter.open_connections(replace(REPLICA, pid=43), 8000)

        assert logs == []

    async def test_reads_the_kernels_real_tables(self) -> None:
        """This very process, as if it were a replica, has no visitors from outside."""
        own = replace(REPLICA, pid=os.getpid(), ip="127.0.0.1")
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            count = await ProcConnectionCounter().open_connections(own, port)
            writer.close()
            await writer.wait_closed()

        assert count in {0, None}  # None where this test itself runs in a container
