"""What holds connections until it is closed: usable as a context manager.

Separate because everything that asks others over HTTP ends in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """Open it as a context manager, or close it at the end."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of all connections."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
