"""What secrets and configs hold, by digest, in this process's memory and nowhere else.

Apart from both its users because they meet only here: the desired state's reading puts contents
in, the engine takes them out when it fills a container. A spec, a record or a label has no more
than the digest. What was read earlier is kept for a while, so that a rollback finds it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

MOST_KEPT = 64 * 1024**2  # bytes of contents that the desired state does not name any more


class Vault:
    """Contents by digest; those the desired state names now, and the latest of the others."""

    def __init__(self, named: Mapping[str, bytes] | None = None) -> None:
        self._named: dict[str, bytes] = dict(named or {})
        self._former: OrderedDict[str, bytes] = OrderedDict()

    def keep(self, named: Mapping[str, bytes]) -> None:
        """Take what the desired state names now."""
        for digest, content in self._named.items():
            if digest not in named:
                self._former[digest] = content
                self._former.move_to_end(digest)
        self._named = dict(named)
        while sum(map(len, self._former.values())) > MOST_KEPT:
            self._former.popitem(last=False)

    def content(self, digest: str) -> bytes | None:
        """Return what has this digest; None: it is not known here."""
        found = self._named.get(digest)
        return self._former.get(digest) if found is None else found
