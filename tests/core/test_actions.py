"""The verbs in words, and what each is about."""

from __future__ import annotations

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
    subject,
)
from traefik_bg.core.model import ReplicaName, Routing

BLUE, GREEN = app("web:1"), app("web:2")
NAME = ReplicaName("web-cafe0000-0")


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
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_action_says_what_it_does_and_what_it_is_about(
    action: Action, words: str, about: str
) -> None:
    """The words go into the log and the forecast; the subject orders actions."""
    assert str(action) == words
    assert subject(action) == about
