"""The verbs in words, and what each is about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.core.build import WEB, app, routing
from traefik_bg.core.actions import (
    Action,
    CreateReplica,
    PublishRouting,
    PullImage,
    RemoveReplica,
    StartReplica,
    StopReplica,
    counted_down,
    subject,
)
from traefik_bg.core.model import MirrorShare, PreviewShare, ReplicaName, Routing
from traefik_bg.core.rollout import Preview

BLUE, GREEN = app("web:1"), app("web:2")
NAME = ReplicaName("web-cafe0000-0")
OF_BLUE, OF_GREEN = routing((BLUE, 50), (GREEN, 50), count=1).shares
EXTRAS = replace(
    routing((BLUE, 100), count=1),
    kept=OF_BLUE,
    mirror=MirrorShare(share=OF_GREEN, percent=10),
    preview=PreviewShare(share=OF_GREEN, by=Preview(host="preview.example.com")),
)


@pytest.mark.parametrize(
    ("action", "words", "about"),
    [
        (PullImage(image="web:1"), "pull web:1", "web:1"),
        (CreateReplica(name=NAME, number=0, spec=BLUE), f"create {NAME}", NAME),
        (StartReplica(name=NAME), f"start {NAME}", NAME),
        (StopReplica(name=NAME), f"stop {NAME}", NAME),
        (RemoveReplica(name=NAME), f"remove {NAME}", NAME),
        (PublishRouting(app=WEB, routing=None), "unroute web", "web"),
        (PublishRouting(app=WEB, routing=Routing()), "route web to nothing", "web"),
        (
            PublishRouting(app=WEB, routing=routing((BLUE, 90), (GREEN, 10), count=1)),
            f"route web: 90 % to {BLUE.revision} (1), 10 % to {GREEN.revision} (1)",
            "web",
        ),
        (
            PublishRouting(app=WEB, routing=Routing(holds_for=30.0)),
            "route web to nothing: requests wait, at most 30 s",
            "web",
        ),
        (
            PublishRouting(app=WEB, routing=EXTRAS),
            (
                f"route web: 100 % to {BLUE.revision} (1), "
                f"earlier sessions to {BLUE.revision} (1), "
                f"10 % copied to {GREEN.revision} (1), preview of {GREEN.revision} (1)"
            ),
            "web",
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_action_says_what_it_does_and_what_it_is_about(
    action: Action, words: str, about: str
) -> None:
    """The words go into the log and the forecast; the subject orders actions."""
    assert str(action) == words
    assert subject(action) == about


@pytest.mark.parametrize(
    ("left", "since", "later"),
    [
        (15.0, 4.0, "rejected x: 15 s late; good in 11 s"),
        (15.0, 60.0, "rejected x: 15 s late; good in 0 s"),
        (None, 4.0, "rejected x: 15 s late; good in 15 s"),
        (7.0, 4.0, "rejected x: 15 s late; good in 15 s"),
    ],
    ids=["later", "over", "no countdown", "of another sentence"],
)
def test_a_countdown_reads_on_without_another_look(
    left: float | None, since: float, later: str
) -> None:
    """What is left is less by the time that has passed; numbers that mean something else stay."""
    assert counted_down("rejected x: 15 s late; good in 15 s", left, since) == later
