"""How a forecast looks: what will be done, when, and why.

`+` adds a container or an image, `~` moves traffic, `-` takes something away. It prints nothing and
plays nothing: `core.forecast` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

from rich.text import Text

from traefik_bg.cli.words import duration
from traefik_bg.core.actions import (
    Action,
    CreateHook,
    CreateReplica,
    PublishRouting,
    PullImage,
    RemoveReplica,
    RunHook,
    StartReplica,
    StopReplica,
    subject,
)
from traefik_bg.core.forecast import ASSUMED_START, Stage
from traefik_bg.core.model import AppName

_STYLES = {"+": "green", "~": "cyan", "-": "red"}


class ActionView(TypedDict):
    """One action of a forecast."""

    mark: str
    text: str


class StageView(TypedDict):
    """One stage of a forecast."""

    after: float
    phase: str
    reason: str
    actions: list[ActionView]
    awaits_approval: bool
    """Nothing more happens until somebody promotes it; what follows is told as if they did."""
    approvals: int
    """How many approvals it comes after; `after` is without the time they take."""
    is_judged: bool
    """It goes on only if green's answers are good."""


class PlanView(TypedDict):
    """The forecast of one app."""

    app: str
    stages: list[StageView]


def plan_view(app: AppName, stages: Sequence[Stage]) -> PlanView:
    """Return a forecast as plain data."""
    return PlanView(
        app=app,
        stages=[
            StageView(
                after=round(stage.after, 3),
                phase=stage.plan.phase,
                reason=stage.plan.reason,
                actions=list(_actions(stage.plan.actions)),
                awaits_approval=stage.awaits_approval,
                approvals=stage.approvals,
                is_judged=stage.is_judged,
            )
            for stage in stages
        ],
    )


def _actions(actions: Sequence[Action]) -> Iterator[ActionView]:
    """Return the actions as people count them: a container that is created is started too."""
    created = {subject(action) for action in actions if isinstance(action, CreateReplica)}
    for action in actions:
        match action:
            case StartReplica(name=name) if name in created:
                continue
            case PullImage() | CreateReplica() | CreateHook() | RunHook() | StartReplica():
                yield ActionView(mark="+", text=str(action))
            case PublishRouting(routing=None):
                yield ActionView(mark="-", text=str(action))
            case PublishRouting():
                yield ActionView(mark="~", text=f"shift {str(action).removeprefix('route ')}")
            case StopReplica() | RemoveReplica():
                yield ActionView(mark="-", text=str(action))


def report(view: PlanView) -> Iterator[Text]:
    """Return a forecast as lines."""
    stages = view["stages"]
    head = Text(view["app"], style="bold")
    if not any(stage["actions"] for stage in stages):
        why = stages[-1]["reason"] if stages else "nothing to look at"
        yield head.append(f": nothing to do: {why}", style="not bold")
        return
    yield head
    promoted_at = None
    for stage in stages:
        yield from _stage(stage, since=promoted_at)
        if stage["awaits_approval"]:
            promoted_at = stage["after"]
    end = stages[-1]
    approvals = end["approvals"]
    waits = f" and {_counted(approvals)}" if approvals else ""
    well = (
        "all goes well, its answers too" if any(s["is_judged"] for s in stages) else "all goes well"
    )
    yield Text(
        f"  {_summary(stages)}; {end['phase']} after about {duration(end['after'])}{waits} if "
        f"{well} (a new replica is taken to be healthy after {ASSUMED_START:g} s)",
        style="dim",
    )


def _counted(approvals: int) -> str:
    return "1 approval" if approvals == 1 else f"{approvals} approvals"


def _stage(stage: StageView, *, since: float | None) -> Iterator[Text]:
    """Return a stage as lines, with its time from now, or from the last approval."""
    after = f"{stage['after']:8.1f} s  "
    if since is not None:
        after = f"+ {stage['after'] - since:.1f}".rjust(8) + " s  "
    if stage["awaits_approval"]:
        yield Text(f"{after}  {stage['reason']}; once it is promoted:", style="yellow")
        return
    if not stage["actions"]:
        judged = ", if its answers are good" if stage["is_judged"] else ""
        yield Text(f"{after}  {stage['reason']}{judged}", style="dim")
        return
    yield Text(f"{after}  {stage['reason']}:")
    for action in stage["actions"]:
        line = Text(" " * len(after))
        yield line.append(f"{action['mark']} {action['text']}", style=_STYLES[action["mark"]])


def _summary(stages: Sequence[StageView]) -> str:
    words = [action["text"].partition(" ")[0] for stage in stages for action in stage["actions"]]
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    return ", ".join(f"{count} to {word}" for word, count in counts.items())
