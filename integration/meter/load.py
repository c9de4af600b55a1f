"""What load is to be made, and on whom.

One frozen value, checked where it is made; the controller sends it to the generator as JSON and
the generator checks it again. Its one safety rule: a target is this machine, or a container
network that the caller has named as the project's own. Every load is bounded in time and count.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_address, ip_network
from urllib.parse import urlsplit

MAX_RATE = 2_000.0  # more than this generator can send on time on two cores
MAX_SECONDS = 3_600.0
MAX_REQUESTS = 1_000_000  # some 500 MB of `Exchange`s when a report is made
MAX_SLOW = 200
MAX_WEBSOCKETS = 200
MAX_BODY = 1_048_576

_PRIVATE = tuple(ip_network(net) for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


class TargetRefused(ValueError):
    """Load was asked for on an address that is not known to be ours; nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A steady load on one entry point; seconds everywhere, `rate` per second.

    The app under test answers `get_path` with 200; `post_path` with 200 and the sha256 (hex) of the
    body somewhere in its answer; `slow_path?seconds=3` with 200 after that long; `websocket_path`
    with a websocket that echoes text. The headers `X-Version` and `X-Replica` say who answered.
    """

    url: str
    host: str
    rate: float = 200.0
    seconds: float = 600.0  # the longest it runs; normally it is stopped before
    slow: int = 0
    slow_seconds: float = 3.0
    websockets: int = 0
    ping_every: float = 0.2
    timeout: float = 10.0
    post_share: float = 0.2
    fresh_share: float = 0.1
    body_size: int = 2_048
    # Far below Traefik's idleTimeout of 180 s, so that the race "the server closes an idle
    # connection just as we use it" cannot come from the server's idle timer.
    idle_limit: float = 2.0
    slip_limit: float = 0.05  # a request sent later than this is the generator's failing
    get_path: str = "/"
    post_path: str = "/echo"
    slow_path: str = "/slow"
    websocket_path: str = "/ws"
    own_networks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_target(self.url, own_networks=self.own_networks)
        _require("rate", self.rate, 0.0, MAX_RATE)
        _require("seconds", self.seconds, 0.01, MAX_SECONDS)
        _require("rate times seconds", self.rate * self.seconds, 0, MAX_REQUESTS)
        _require("slow", self.slow, 0, MAX_SLOW)
        _require("slow_seconds", self.slow_seconds, 0.01, 60.0)
        _require("websockets", self.websockets, 0, MAX_WEBSOCKETS)
        _require("ping_every", self.ping_every, 0.01, 60.0)
        _require("timeout", self.timeout, 0.01, 60.0)
        _require("post_share", self.post_share, 0.0, 1.0)
        _require("fresh_share", self.fresh_share, 0.0, 1.0)
        _require("body_size", self.body_size, 32, MAX_BODY)
        _require("idle_limit", self.idle_limit, 0.01, 60.0)
        _require("slip_limit", self.slip_limit, 0.001, 10.0)

    @property
    def origin(self) -> str:
        """Scheme, checked address and port: what every URL of this load begins with."""
        return checked_target(self.url, own_networks=self.own_networks)

    @property
    def requests(self) -> int:
        """How many steady requests are scheduled if nobody stops the load early."""
        return int(self.rate * self.seconds + 1e-9)  # 100 * 0.29 is 28.999…

    @property
    def open_at_worst(self) -> int:
        """How many connections are open at once when the app answers nothing at all."""
        return int(self.rate * self.timeout) + self.slow + self.websockets

    def as_json(self) -> str:
        """Render for the generator's command line and for reports."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Load:
        """Read back what `as_json` wrote.

        Raises:
            ValueError: a value is out of bounds, or (`TargetRefused`) the target is not ours.
        """
        values = json.loads(text)
        values["own_networks"] = tuple(values["own_networks"])
        return cls(**values)


def checked_target(url: str, *, own_networks: tuple[str, ...] = ()) -> str:
    """Return the origin to send to, built from the checked address and not from the given text.

    Loopback is always ours. A private address (RFC 1918) is ours only inside a network that the
    caller names: a private address by itself may be somebody's printer. Names are not looked up.

    Raises:
        TargetRefused: the address is anything else.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None or parts.path not in {"", "/"}:
        raise TargetRefused(f"the meter wants http://ADDRESS:PORT, not {url!r}")
    name = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    try:
        address, port = ip_address(name), parts.port or 80
    except ValueError as error:
        raise TargetRefused(
            f"the meter sends to addresses only, never to a name: {url!r} ({error})"
        ) from error
    if not address.is_loopback and not any(
        address in network for network in _checked_networks(own_networks)
    ):
        raise TargetRefused(
            f"the meter refuses {address}: it sends to loopback, or to a private address inside "
            f"own_networks={own_networks!r}, the project's own container networks"
        )
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def _checked_networks(names: tuple[str, ...]) -> list[IPv4Network]:
    networks = []
    for name in names:
        network = ip_network(name)
        if not isinstance(network, IPv4Network) or not any(
            isinstance(private, IPv4Network) and network.subnet_of(private) for private in _PRIVATE
        ):
            raise TargetRefused(f"own_networks may hold private networks (RFC 1918), not {name}")
        networks.append(network)
    return networks


def _require(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must be between {low:g} and {high:g}, not {value:g}")
