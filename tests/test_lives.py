"""The witness that two versions never ran at once would notice if they had."""

from __future__ import annotations

from integration.lives import Happening, overlaps


def started(at: int, name: str) -> Happening:
    return Happening(at=at, is_start=True, name=name)


def died(at: int, name: str) -> Happening:
    return Happening(at=at, is_start=False, name=name)


def test_one_after_the_other_is_no_overlap() -> None:
    """Blue dies before green is started; replicas of one revision run together."""
    seen = [died(2, "web-aaaaaaaa-0"), started(3, "web-bbbbbbbb-0"), started(4, "web-bbbbbbbb-1")]

    assert overlaps(seen, running=["web-aaaaaaaa-0"]) == []


def test_green_beside_blue_is_an_overlap() -> None:
    """Green is started a moment before the last of blue dies, told in whatever order."""
    seen = [died(2, "web-aaaaaaaa-0"), died(4, "web-aaaaaaaa-1"), started(3, "web-bbbbbbbb-0")]

    said = overlaps(seen, running=["web-aaaaaaaa-0", "web-aaaaaaaa-1"])

    assert said == ["web-bbbbbbbb-0 was started while web-aaaaaaaa-1 ran"]
