"""Follows what goes on: `status --watch` and `deploy --wait`.

The service is asked again and again; whether a deployment is over is read from facts (what is
desired, good, rejected), never from the phase, for that may be a look behind.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from traefik_bg.cli import progress, screen, tables
from traefik_bg.cli.client import Client, Declined, Unreachable
from traefik_bg.cli.frame import Exit
from traefik_bg.cli.words import duration

if TYPE_CHECKING:
    from rich.status import Status

    from traefik_bg.web.view import AppView, UndoneView

POLL = 0.5  # seconds between looks while watching
POLL_WAITING = 0.2  # seconds between looks while waiting for a deployment to end
PATIENCE_FOR_UNDO = 1.0  # seconds; where blue is warm it takes less than a tenth of one
PATIENCE = 30.0  # seconds the service may be away (it restarts) before we stop waiting

_NUMBER = re.compile(r"\b\d+(\.\d+)?\b")


def _kind(reason: str) -> str:
    """Return a sentence without its numbers: "in 3 s" and "in 2 s" are the same news."""
    return _NUMBER.sub("#", reason)


def _novelty(view: AppView, sentence: str) -> object:
    """Return what makes a sentence news: its kind, or another step of the deployment."""
    return (_kind(sentence), progress.place(view["progress"], view["weights"]))


def _require_away(error: Unreachable | Declined) -> None:
    """Raise an error again unless trying later may help."""
    if isinstance(error, Declined) and error.status < 500:
        raise error


# --- watching -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to show of one look."""

    views: list[AppView]
    picture: RenderableType


def watch(look: Callable[[], Scene], *, as_json: bool) -> None:
    """Show what `look` finds, until Ctrl-C."""
    console = screen.out()
    is_live = console.is_terminal and not as_json
    try:
        if is_live:
            _watch_live(look, console)
        else:
            _watch_lines(look, as_json=as_json)
    except KeyboardInterrupt:
        raise typer.Exit(Exit.FINE) from None


def _watch_live(look: Callable[[], Scene], console: Console) -> None:
    shown: RenderableType = look().picture
    with Live(shown, console=console, auto_refresh=False) as live:
        while True:
            time.sleep(POLL)
            try:
                shown = look().picture
            except (Unreachable, Declined) as error:
                _require_away(error)
                live.update(Group(shown, Text(screen.clean(str(error)), "red")), refresh=True)
            else:
                live.update(shown, refresh=True)


def _watch_lines(look: Callable[[], Scene], *, as_json: bool) -> None:
    """Print one line for each piece of news, for pipes."""
    told: dict[str, object] = {}
    is_away = False
    while True:
        try:
            views = look().views
        except (Unreachable, Declined) as error:
            _require_away(error)
            if not told:
                raise
            if not is_away:
                screen.complain(str(error))
            is_away = True
            views = []
        else:
            is_away = False
        for view in views:
            news = f"{view['phase']}: {tables.sentence(view)}"
            if told.get(view["name"]) == _novelty(view, news):
                continue
            told[view["name"]] = _novelty(view, news)
            if as_json:
                screen.show_json(view)
            else:
                screen.say(f"{view['name']}: {news}")
        time.sleep(POLL)


# --- going back ---------------------------------------------------------------------------------


def undone(client: Client, app: str, before: UndoneView | None) -> UndoneView | None:
    """Wait a moment for the way back to be confirmed; None: nothing had to move, or not yet.

    A way back that has to start replicas first takes as long as they do: nobody waits for it here.
    """
    ends = time.monotonic() + PATIENCE_FOR_UNDO
    while time.monotonic() < ends:
        found = client.app(app)["undone"]
        if found is not None and found != before:
            return found
        time.sleep(POLL_WAITING)
    return None


# --- waiting --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ended:
    """How the deployment of an image ended, as far as who waits for it is concerned."""

    is_well: bool
    sentence: str
    numbers: tuple[str, ...] = ()
    """What Traefik had counted of each revision, when it was rejected."""
    log: tuple[str, ...] = ()
    advice: str | None = None
    is_over: bool = True
    """False: we have waited long enough, but the deployment goes on."""


@dataclass(kw_only=True)
class Wait:
    """Waiting for an image to be good, or rejected."""

    client: Client
    app: str
    image: str
    to: Console
    """Where the sentences go."""
    view: AppView | None = None
    """What was seen last."""
    longest: float | None = None
    """Seconds after which we wait no longer."""
    _began: float = field(default_factory=time.monotonic)
    _told: object = None
    _numbers: tuple[str, ...] = ()
    _was_desired: bool = False
    _away_since: float | None = None

    def until_ended(self) -> Ended:
        """Follow the deployment, saying what is new, until it has ended."""
        with self._spinner() as status:
            while True:
                self._look()
                if self.view is not None:
                    if (ended := self._ended(self.view)) is not None:
                        return ended
                    self._tell(self.view, status)
                left = self._left()
                if left <= 0:
                    return self._given_up()
                time.sleep(min(POLL_WAITING, left))

    def _left(self) -> float:
        """Return for how many seconds we still wait."""
        waited = time.monotonic() - self._began
        return inf if self.longest is None else self.longest - waited

    def _given_up(self) -> Ended:
        view = self.view
        where = f" ({view['phase']}: {tables.sentence(view)})" if view is not None else ""
        return Ended(
            False,
            f"not over after {duration(self.longest or 0.0)}, and the deployment goes on{where}",
            advice=f"traefik-bg status {self.app} shows how it goes, traefik-bg abort {self.app} "
            "ends it",
            is_over=False,
        )

    @contextmanager
    def _spinner(self) -> Iterator[Status | None]:
        if not self.to.is_terminal:
            yield None
            return
        with self.to.status("…") as status:
            yield status

    def _look(self) -> None:
        try:
            self.view = self.client.app(self.app)
        except (Unreachable, Declined) as error:
            _require_away(error)
            now = time.monotonic()
            if self._away_since is None:
                self._away_since = now
                screen.complain(f"{error}; waiting for it")
            if now - self._away_since > PATIENCE:
                raise
        else:
            self._away_since = None

    def _ended(self, view: AppView) -> Ended | None:
        desired = view["desired"]
        if desired is None or not self._is_it(desired["image"]):
            if not self._was_desired:
                return None
            instead = desired["image"] if desired else "nothing"
            return Ended(False, f"superseded: {self.app} is to run {instead} now")
        self._was_desired = True
        if (rejection := view["rejection"]) is not None:
            sentence = f"rejected {rejection['revision']}: {rejection['reason']}"
            serving = ", ".join(w["image"] or w["revision"] for w in view["weights"])
            what = f"{serving} serves" if serving else "nothing serves"
            log = tuple(rejection["log"])
            return Ended(False, f"{sentence}; {what}", self._numbers, log, view["advice"])
        good, revision = view["good"], desired["revision"]
        is_all = all(weight["revision"] == revision for weight in view["weights"])
        if good is None or good["revision"] != revision or view["deployment"] or not is_all:
            return None
        count = f"{view['healthy']} of {view['wanted']} replicas healthy"
        return Ended(True, f"{revision} is good: {self.image} serves, {count}")

    def _is_it(self, image: str) -> bool:
        """Tell whether this is the image that is waited for; a followed tag has its digest too."""
        return image == self.image or image.startswith(f"{self.image}@")

    def _tell(self, view: AppView, status: Status | None) -> None:
        """Say what is new."""
        desired, under_way = view["desired"], view["progress"]
        if under_way is not None and under_way["answers"]:
            self._numbers = tuple(map(progress.answers_line, under_way["answers"]))
        if desired is not None and self._is_it(desired["image"]):
            sentence = f"{view['phase']}: {tables.sentence(view)}"
            if view["phase"] == "paused" and view["advice"]:
                sentence += f"; {view['advice']}"
        elif view["desired_error"] is not None:
            sentence = f"the desired state is not in force: {screen.clean(view['desired_error'])}"
        else:
            sentence = "waiting for the desired state to be read"
        if status is not None:
            line = f"{self.elapsed()}  {sentence}"
            status.update(Text(line, style="dim", no_wrap=True, overflow="ellipsis"))
        if _novelty(view, sentence) == self._told:
            return
        self._told = _novelty(view, sentence)
        self.say(sentence)

    def say(self, sentence: str) -> None:
        """Print a sentence with the time since we began."""
        screen.say(f"{self.elapsed()}  {sentence}", to=self.to)

    def elapsed(self) -> str:
        """Return the time since we began."""
        return f"{time.monotonic() - self._began:7.1f} s"
