"""The verbs: all that the service can do to the world, as values.

The planner makes them, the executor carries them out, `forecast` plays them; none of them decides.
Each must be safe to find already done, because "done but the answer was lost" happens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from traefik_bg.core.hooks import Hook, Moment
from traefik_bg.core.model import AppName, AppSpec, ReplicaName, RevisionId, Routing, Share
from traefik_bg.core.record import Record


class Phase(StrEnum):
    """Where an app stands, derived anew at every look; for people, never for decisions."""

    SETTLED = "settled"
    PULLING = "pulling"
    STARTING = "starting"
    WAITING = "waiting for approval"
    BLOCKED = "blocked"
    """Nothing goes on until the desired state is mended."""
    SHIFTING = "shifting"
    CONFIRMING = "confirming"
    BAKING = "baking"
    DRAINING = "draining"
    REPAIRING = "repairing"
    REJECTED = "rejected"
    PAUSED = "paused"
    REMOVING = "removing"
    BLIND = "blind"


class Outcome(StrEnum):
    """How a deployment ended."""

    SUCCEEDED = "succeeded"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    ABORTED = "aborted"


@dataclass(frozen=True, slots=True, kw_only=True)
class PullImage:
    """Bring an image to this machine."""

    image: str

    def __str__(self) -> str:
        return f"pull {self.image}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateReplica:
    """Create a container of the spec's revision; it is not started."""

    name: ReplicaName
    number: int
    spec: AppSpec
    image: str = ""
    """What to create it from, when that is named more exactly than in the spec."""

    def __str__(self) -> str:
        return f"create {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateHook:
    """Create the container in which a hook is to run for a deployment; it is not started."""

    name: ReplicaName
    hook: Hook
    deployment: int
    spec: AppSpec
    image: str = ""
    """What to create it from, when that is named more exactly than in the spec."""

    def __str__(self) -> str:
        return f"create {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHook:
    """Start the container of a hook that has never been started; any other stays as it is."""

    name: ReplicaName
    moment: Moment
    deployment: int
    revision: RevisionId

    def __str__(self) -> str:
        return f"run {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartReplica:
    """Start a container of ours that is not running."""

    name: ReplicaName

    def __str__(self) -> str:
        return f"start {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRouting:
    """Tell Traefik how to route an app; None: not at all any more."""

    app: AppName
    routing: Routing | None

    def __str__(self) -> str:
        if self.routing is None:
            return f"unroute {self.app}"
        if self.routing.holds_for is not None:
            return (
                f"route {self.app} to nothing: requests wait, at most {self.routing.holds_for:g} s"
            )
        if not self.routing.shares:
            return f"route {self.app} to nothing"
        return f"route {self.app}: {', '.join(_destinations(self.routing))}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReplica:
    """Stop a container with its own signal and grace period."""

    name: ReplicaName

    def __str__(self) -> str:
        return f"stop {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoveReplica:
    """Remove a stopped container and its anonymous volumes."""

    name: ReplicaName

    def __str__(self) -> str:
        return f"remove {self.name}"


def _destinations(routing: Routing) -> Iterator[str]:
    for share in routing.shares:
        yield f"{share.weight} % to {_named(share)}"
    if routing.kept is not None:
        yield f"earlier sessions to {_named(routing.kept)}"
    if routing.mirror is not None:
        yield f"{routing.mirror.percent} % copied to {_named(routing.mirror.share)}"
    if routing.preview is not None:
        yield f"preview of {_named(routing.preview.share)}"


def _named(share: Share) -> str:
    return f"{share.revision} ({len(share.servers)})"


Action = (
    PullImage
    | CreateReplica
    | CreateHook
    | RunHook
    | StartReplica
    | PublishRouting
    | StopReplica
    | RemoveReplica
)


def subject(action: Action) -> str:
    """Return what the action is about: actions on one subject run in order, others side by side."""
    match action:
        case PullImage(image=image):
            return image
        case PublishRouting(app=app):
            return app
        case _:
            return action.name


def seconds_left(seconds: float) -> str:
    """Return the end of a sentence that counts down."""
    return f"{seconds:.0f} s"


def counted_down(reason: str, left: float | None, since: float) -> str:
    """Return a reason as it reads some seconds after it was given; it never goes below 0."""
    if left is None:
        return reason
    before, words, after = reason.rpartition(seconds_left(left))
    return f"{before}{seconds_left(max(0.0, left - since))}{after}" if words else reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a deployment ended, for the history."""

    outcome: Outcome
    revision: RevisionId
    reason: str
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The next thing to do for one app, and why, in one sentence."""

    reason: str
    phase: Phase
    record: Record
    """Saved before any action."""
    actions: tuple[Action, ...] = ()
    recheck_after: float | None = None
    """Seconds after which to look again even if nothing happens."""
    left: float | None = None
    """The seconds that the reason ends with, where they run down by themselves: see `counted_down`.
    None: it ends with none, or their clock stands still."""
    endings: tuple[Ending, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the history that belong to no ending."""
