"""Reasons to look again: one bell for each app, one for the roll."""

from __future__ import annotations

import asyncio

from tests.core.build import WEB
from traefik_bg.core.model import AppName
from traefik_bg.runtime.triggers import Triggers, wait

BLOG = AppName("blog")


async def test_a_wake_for_an_app_rings_its_bell_only() -> None:
    """The others sleep on."""
    triggers = Triggers()
    web, blog = triggers.bell(WEB), triggers.bell(BLOG)
    triggers.wake(WEB)
    assert web.is_set()
    assert not blog.is_set()
    assert not triggers.roster.is_set()


async def test_a_wake_for_an_app_nobody_knows_calls_the_roll() -> None:
    """It may be a new one."""
    triggers = Triggers()
    triggers.wake(WEB)
    assert triggers.roster.is_set()
    assert triggers.bell(WEB) is triggers.bell(WEB)


async def test_a_wake_for_all_rings_every_bell_and_calls_the_roll() -> None:
    """Something happened, nobody knows to whom."""
    triggers = Triggers()
    bells = [triggers.bell(WEB), triggers.bell(BLOG)]
    triggers.wake(None)
    assert all(bell.is_set() for bell in bells)
    assert triggers.roster.is_set()


async def test_an_app_that_is_gone_is_woken_as_a_new_one() -> None:
    """Its bell is forgotten with it."""
    triggers = Triggers()
    bell = triggers.bell(WEB)
    triggers.dismiss(WEB)
    triggers.dismiss(WEB)
    triggers.wake(WEB)
    assert not bell.is_set()
    assert triggers.roster.is_set()


async def test_who_looks_on_hears_what_the_app_hears() -> None:
    """Its own bell rings too, also for an app that has none; when it is given back, none does."""
    triggers = Triggers()
    bell = triggers.bell(WEB)
    with triggers.listening(WEB) as ear, triggers.listening(BLOG) as other:
        triggers.wake(WEB)
        assert (bell.is_set(), ear.is_set(), other.is_set()) == (True, True, False)
        ear.clear()
        triggers.wake(None)
        assert (ear.is_set(), other.is_set()) == (True, True)
        ear.clear()
    triggers.wake(None)
    assert not ear.is_set()


async def test_a_wait_ends_with_the_bell_or_with_the_time() -> None:
    """Whichever is first; a bell that rang before is not waited for."""
    loop = asyncio.get_running_loop()
    bell = asyncio.Event()
    began = loop.time()
    await wait(bell, 5.0)
    assert loop.time() - began == 5.0
    loop.call_later(2.0, bell.set)
    await wait(bell, 5.0)
    assert loop.time() - began == 7.0
    await wait(bell, 5.0)
    assert loop.time() - began == 7.0
