"""Everything that can go wrong, by what it means for the next step.

    TraefikBgError
    ├── DesiredStateError   the user's file is wrong; the last good one stays in force
    ├── SettingsError       a setting of the service is wrong; it does not start
    ├── CommandRefused      an operator's command makes no sense now
    ├── Unavailable         we do not know: back off, look again
    │   ├── EngineUnavailable     Docker did not answer
    │   ├── RouterUnavailable     Traefik's configuration could not be written or read
    │   └── StoreUnavailable      we cannot remember, so we do not act
    ├── Refused             it answered no; trying again will not help
    │   ├── ImageNotFound
    │   ├── ImageDenied
    │   ├── SpecRefused           Docker rejects the container's settings
    │   ├── RoutingRefused        Traefik loaded it but reports a router in error
    │   └── LogUnreadable         Docker keeps no log of the container that can be read
    ├── Conflict            the world moved; look again at once
    └── LawBroken           our bug: a plan would have broken a law; the app is held

Two questions shape the tree: *do we know?* and *would trying again help?* A sick green, a timeout
or a refused deployment are not exceptions: they are facts in the observation and words in the plan.
Adapters translate every foreign exception into one of these (`raise … from error`).
"""

from __future__ import annotations

from collections.abc import Sequence


class TraefikBgError(Exception):
    """Is the root of everything this project raises on purpose."""


class DesiredStateError(TraefikBgError):
    """The desired-state file cannot be used; says where and what would work."""

    def __init__(self, message: str, *, path: str = "", line: int | None = None) -> None:
        self.message = message
        self.path = path
        self.line = line
        super().__init__(str(self))

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line is not None else self.path
        return f"{where}: {self.message}" if where else self.message


class DesiredStateErrors(DesiredStateError):
    """Several mistakes in the desired state, all of them reported at once."""

    def __init__(self, errors: Sequence[DesiredStateError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in errors))


class SettingsError(TraefikBgError):
    """A setting of the service itself is wrong; says which one and what would work."""


class CommandRefused(TraefikBgError):
    """An operator's command cannot be followed now; says why and what would work."""


class Unavailable(TraefikBgError):
    """Something did not answer, so we do not know: back off and look again."""


class EngineUnavailable(Unavailable):
    """Docker did not answer."""


class RouterUnavailable(Unavailable):
    """Traefik's configuration could not be written, or Traefik could not be asked."""


class StoreUnavailable(Unavailable):
    """The record could not be read or written; without memory we do not act."""


class Refused(TraefikBgError):
    """The answer was no, and asking again will not change it; becomes a rejection's reason."""


class ImageNotFound(Refused):
    """The image is neither on this machine nor in its registry."""


class ImageDenied(Refused):
    """The registry wants a login for this image."""


class SpecRefused(Refused):
    """Docker rejects the settings of a container."""


class RoutingRefused(Refused):
    """Traefik loaded the routing but reports one of its parts in error."""


class LogUnreadable(Refused):
    """What a container prints cannot be had from Docker; rejects nothing, for it is for people."""


class Conflict(TraefikBgError):
    """The world is not what the action was planned for; look again at once."""


class LawBroken(TraefikBgError):
    """An action would have broken a law: a bug of ours, caught before it could do harm."""

    def __init__(self, law: str, detail: str) -> None:
        self.law = law
        self.detail = detail
        super().__init__(f"law {law}: {detail}")
