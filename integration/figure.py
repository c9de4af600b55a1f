"""One line of what the bench prints."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the result."""

    name: str
    values: Sequence[float]
    unit: str
    goal: str = ""

    def row(self) -> tuple[str, str, str, str, str]:
        """Return minimum, median and maximum as text."""
        low, high = min(self.values), max(self.values)
        middle = statistics.median(self.values)
        shown = [f"{value:,.1f}" for value in (low, middle, high)]
        return (self.name, *shown, f"{self.unit}  {self.goal}")  # type: ignore[return-value]
