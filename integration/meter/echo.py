"""Keeps count of one websocket's echoes: which are awaited, and how long they take.

Separate from the generator because it is plain bookkeeping without a clock: every instant is given.
"""

from __future__ import annotations


class Echoes:
    """The texts sent on one websocket whose echo has not come yet, and how long echoes take."""

    def __init__(self) -> None:
        self.heard = 0
        self.slowest = 0.0
        self.silent = False
        self.closing = False  # by us
        self._awaited: dict[str, float] = {}

    def await_echo(self, text: str, now: float) -> None:
        """Expect this text back."""
        self._awaited[text] = now

    def waiting_since(self, now: float) -> float:
        """Return when the oldest text was sent that is not echoed yet; now, when there is none."""
        return next(iter(self._awaited.values()), now)

    def hear(self, message: str | bytes, now: float) -> None:
        """Take a message for the echo of the oldest text, if it holds that text."""
        text = message.decode(errors="replace") if isinstance(message, bytes) else message
        oldest = next(iter(self._awaited), None)
        if oldest is not None and oldest in text:
            self.heard += 1
            self.slowest = max(self.slowest, now - self._awaited.pop(oldest))
