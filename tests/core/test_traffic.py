"""What Traefik is told, and that nothing is lost when it is read back."""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traefik_bg.core import markers, traffic
from traefik_bg.core.features import Features
from traefik_bg.core.matchers import objection
from traefik_bg.core.model import (
    AppName,
    Json,
    MirrorShare,
    PreviewShare,
    Protocol,
    ReplicaName,
    RevisionId,
    Route,
    Routing,
    Server,
    Share,
    canonical_json,
)
from traefik_bg.core.names import collisions
from traefik_bg.core.rollout import Preview

GOLDEN = Path(__file__).parent / "golden"
LOOP_URL = "http://127.0.0.1:8079"
ALL = Features(retry=True, guard=True, hold=LOOP_URL)
WEB, API = AppName("web"), AppName("api")
BLUE, GREEN = RevisionId("0b1ee000"), RevisionId("93ee7000")
HOST = Route(rule="Host(`web.example`)", entrypoints=("web",))
TCP = Route(rule="HostSNI(`*`)", protocol=Protocol.TCP)


def share(revision: RevisionId, weight: int, *addresses: str, app: AppName = WEB) -> Share:
    """Return a share whose replicas are addressed by name, or by these addresses."""
    names = [ReplicaName(f"{app}-{revision}-{number}") for number in range(len(addresses) or 2)]
    return Share(
        revision=revision,
        weight=weight,
        servers=tuple(
            Server(replica=name, address=address or name, port=8000)
            for name, address in zip(names, addresses or names, strict=True)
        ),
    )


EVERY_WAY = Preview(header=("X-Preview", "green"), cookie=("preview", "a.b"), host="new.example")
CASES: dict[str, tuple[dict[AppName, Routing], Features]] = {
    "nothing": ({}, Features()),
    "one_revision": ({WEB: Routing(shares=(share(BLUE, 100),), routes=(HOST,))}, Features()),
    "canary": (
        {WEB: Routing(shares=(share(BLUE, 95), share(GREEN, 5)), routes=(HOST,), sticky=True)},
        Features(retry=True),
    ),
    "guarded": (
        {
            WEB: Routing(
                shares=(share(GREEN, 100),),
                routes=(HOST, replace(HOST, rule="PathPrefix(`/web`)", priority=7)),
                fallback=share(BLUE, 0),
            ),
            API: Routing(
                shares=(share(BLUE, 100, app=API),),
                routes=(replace(HOST, rule="Host(`api.example`)", middlewares=("auth@file",)),),
            ),
        },
        Features(retry=True, guard=True),
    ),
    "preview": (
        {
            WEB: Routing(
                shares=(share(BLUE, 100),),
                routes=(replace(HOST, tls=Json('{"domains":[{"main":"a"}],"options":"default"}')),),
                preview=PreviewShare(share=share(GREEN, 0), by=EVERY_WAY),
            )
        },
        Features(),
    ),
    "kept": (
        {
            WEB: Routing(
                shares=(share(GREEN, 100),),
                routes=(HOST,),
                sticky=True,
                keeps_sessions=True,
                fallback=share(BLUE, 0),
                kept=share(BLUE, 0),
            )
        },
        Features(guard=True),
    ),
    "mirrored": (
        {
            WEB: Routing(
                shares=(share(BLUE, 100),),
                routes=(HOST,),
                mirror=MirrorShare(share=share(GREEN, 0), percent=10),
            ),
            API: Routing(
                shares=(share(BLUE, 100, app=API),),
                routes=(replace(HOST, rule="Host(`api.example`)"),),
                mirror=MirrorShare(share=share(GREEN, 0, app=API), percent=5, all_methods=True),
            ),
        },
        Features(),
    ),
    "held": ({WEB: Routing(routes=(HOST,), holds_for=30.0, loops=True)}, ALL),
    "not_held_any_more": (
        {WEB: Routing(shares=(share(GREEN, 100),), routes=(HOST,), loops=True)},
        ALL,
    ),
    "tcp": (
        {
            WEB: Routing(
                shares=(share(BLUE, 90, "172.18.0.2", "fd00::2"), share(GREEN, 10)),
                routes=(
                    Route(rule="HostSNI(`*`)", entrypoints=("db",), protocol=Protocol.TCP),
                    Route(
                        rule="HostSNI(`db.example`)",
                        tls=Json('{"passthrough":true}'),
                        priority=7,
                        protocol=Protocol.TCP,
                    ),
                ),
            ),
            API: Routing(routes=(HOST,)),
        },
        ALL,
    ),
    "addresses": (
        {WEB: Routing(shares=(share(BLUE, 100, "172.18.0.2", "fd00::2"),), routes=(HOST,))},
        Features(),
    ),
    "nobody": ({WEB: Routing(routes=(replace(HOST, tls=Json("{}")),))}, Features()),
}


@pytest.mark.parametrize("case", CASES)
def test_golden_documents(case: str) -> None:
    """What Traefik is told for typical routings is written down, and read back unchanged."""
    apps, features = CASES[case]
    document = traffic.render(apps, features=features)
    path = GOLDEN / f"{case}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
    assert document == json.loads(path.read_text())
    assert traffic.parse(traffic.encode(document)) == apps


# --- the round trip -------------------------------------------------------------------------------

names = st.from_regex(r"[a-z][a-z0-9.-]{0,9}", fullmatch=True)
revisions = st.from_regex(r"[0-9a-f]{8}", fullmatch=True).map(RevisionId)
addresses = st.one_of(names, st.ip_addresses().map(str))
texts = st.text(min_size=1, max_size=30).filter(lambda text: text == text.strip())
nested = st.none() | st.booleans() | st.integers() | texts | st.lists(texts, max_size=2)


@st.composite
def routes(draw: st.DrawFn, protocol: Protocol = Protocol.HTTP) -> Route:
    """Draw a route as the desired file makes them."""
    rule = draw(texts)
    default = len(rule.encode())
    return Route(
        rule=rule,
        entrypoints=tuple(draw(st.lists(names, max_size=2))),
        middlewares=tuple(draw(st.lists(names, max_size=2))),
        priority=draw(st.none() | st.integers().filter(lambda n: n not in {0, default})),
        tls=draw(st.none() | st.dictionaries(texts, nested, max_size=3).map(canonical_json)),
        protocol=protocol,
    )


@st.composite
def servers(draw: st.DrawFn, *, by_name: bool) -> tuple[Server, ...]:
    """Draw the replicas of a share, with either kind of address."""
    made = []
    for replica in draw(st.lists(names.map(ReplicaName), max_size=3)):
        address = replica if by_name else draw(addresses)
        made.append(Server(replica=replica, address=address, port=draw(st.integers(1, 65535))))
    return tuple(made)


tokens = st.from_regex(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,9}", fullmatch=True)
values = st.text(min_size=1, max_size=9)
previews = st.builds(
    Preview,
    header=st.none() | st.tuples(tokens, values),
    cookie=st.none() | st.tuples(tokens, values),
    host=st.none() | names.map(lambda name: name.replace(".", "-").rstrip("-") + ".example"),
).filter(lambda preview: objection(preview) is None)


@st.composite
def routings(draw: st.DrawFn) -> Routing:
    """Draw a routing; what has no weight is a revision of its own or one that has a share."""
    by_name = draw(st.booleans())
    chosen = draw(st.lists(revisions, max_size=3, unique=True))
    shares = tuple(
        Share(
            revision=revision,
            weight=draw(st.integers(1, 100)),
            servers=draw(servers(by_name=by_name)),
        )
        for revision in chosen
    )
    protocol = draw(st.sampled_from(Protocol))
    routes_of_it = st.lists(routes(protocol), min_size=protocol is Protocol.TCP, max_size=3)
    plain = Routing(shares=shares, routes=tuple(draw(routes_of_it)))
    return plain if protocol is Protocol.TCP else draw(dressed(plain, by_name=by_name))


@st.composite
def dressed(draw: st.DrawFn, plain: Routing, *, by_name: bool) -> Routing:
    """Draw what else can be said of requests that are HTTP."""
    spare = Share(
        revision=draw(revisions.filter(lambda revision: revision not in plain.weights)),
        weight=0,
        servers=draw(servers(by_name=by_name)),
    )
    known = [replace(share, weight=0) for share in (spare, *plain.shares)]
    warm = st.sampled_from(known)
    seconds = st.floats(min_value=0, max_value=1e4)
    return replace(
        plain,
        sticky=draw(st.booleans()),
        keeps_sessions=draw(st.booleans()),
        fallback=draw(st.sampled_from([None, *(share for share in known if share.servers)])),
        kept=draw(st.none() | warm),
        preview=draw(st.none() | st.builds(PreviewShare, share=warm, by=previews)),
        mirror=draw(
            st.none()
            | st.builds(
                MirrorShare, share=warm, percent=st.integers(1, 100), all_methods=st.booleans()
            )
        ),
        holds_for=draw(st.none() | seconds),
        loops=draw(st.booleans()),
    )


apps = st.dictionaries(names.map(AppName), routings(), max_size=3).filter(
    lambda made: not collisions(made)
)


@settings(max_examples=60)
@given(apps, st.booleans(), st.sampled_from(["", LOOP_URL]), st.integers(min_value=0))
def test_what_is_read_back_is_what_was_written(
    made: dict[AppName, Routing], retry: bool, hold: str, serial: int
) -> None:
    """No routing is changed by writing it down, nor will Traefik read anything else."""
    can = Features(retry=retry, guard=True, hold=hold)
    document = traffic.render(made, features=can, serial=serial)
    data = traffic.encode(document)
    assert traffic.parse(data) == made
    assert markers.serial(traffic.marker(traffic.decode(data))) == serial
    uses_hold = any(routing.loops or routing.holds_for is not None for routing in made.values())
    used = can if uses_hold else replace(can, hold="")
    assert traffic.features(traffic.decode(data)) == used
    assert "{{" not in data.decode(), "Traefik's template engine would act on it"
    assert not re.search("[\x7f-\x9f\u2028\u2029\ufeff]", data.decode()), "YAML reads it otherwise"


def test_a_document_from_before_there_were_notes_is_read() -> None:
    """An update in the middle of a bake loses neither the routes nor who is behind an address."""
    before = Routing(
        shares=(share(GREEN, 100, "10.0.0.1", "10.0.0.2"),),
        routes=(HOST,),
        sticky=True,
        fallback=share(BLUE, 0, "10.0.0.3"),
    )
    document = traffic.render({WEB: before}, features=Features(retry=True, guard=True))
    http = document["http"]
    http["services"]["web"]["weighted"]["sticky"]["cookie"].pop("name")
    del http["middlewares"]["web-notes"]
    names = {GREEN: f"web-{GREEN}-0 web-{GREEN}-1", BLUE: f"web-{BLUE}-0"}
    http["middlewares"]["web-replicas"] = {"headers": {"customResponseHeaders": names}}
    assert traffic.parse(traffic.encode(document)) == {WEB: before}


def test_braces_survive() -> None:
    """A rule may hold two braces in a row, as regular expressions do."""
    braces = replace(HOST, rule="HostRegexp(`^a{{1}}\\{{3,}$`)")
    made = {WEB: Routing(shares=(share(BLUE, 1),), routes=(braces,))}
    assert traffic.parse(traffic.encode(traffic.render(made))) == made


def test_a_priority_that_is_the_default_is_left_to_traefik() -> None:
    """Zero and the length of the rule mean what Traefik does anyway: they are read back as none."""
    for priority in (None, 0, len(HOST.rule)):
        made = {WEB: Routing(routes=(replace(HOST, priority=priority, rule=f" {HOST.rule}\n"),))}
        assert traffic.parse(traffic.encode(traffic.render(made))) == {WEB: Routing(routes=(HOST,))}


# --- the marker -----------------------------------------------------------------------------------


def test_the_marker_changes_with_the_content_and_with_the_serial_number() -> None:
    """Two documents that differ, or that were published one after the other, differ in it."""
    one = {WEB: Routing(shares=(share(BLUE, 1),), routes=(HOST,))}
    two = {WEB: Routing(shares=(share(GREEN, 1),), routes=(HOST,))}
    markers = [
        traffic.marker(traffic.render(one)),
        traffic.marker(traffic.render(two)),
        traffic.marker(traffic.render(one, serial=1)),
        traffic.marker(traffic.render(one, features=ALL)),
    ]
    assert len(set(markers)) == len(markers)
    assert traffic.marker(traffic.render(dict(one))) == markers[0]


def test_the_document_is_never_empty() -> None:
    """An empty document would wipe every route, so even "nothing" has a marker."""
    document = traffic.render({})
    assert traffic.parse(traffic.encode(document)) == {}
    assert traffic.marker(document)


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "Expecting value"),
        (b"{}", "not written by traefik-bg"),
        (b"[]", "not written by traefik-bg"),
        (b"http:\n  routers: {}\n", "Expecting value"),
        (b'{"http": {"middlewares": []}}', "not written by traefik-bg"),
        (b'{"http": {"middlewares": ["traefik-bg"]}}', "not a mapping"),
        (b'{"http":{"middlewares":{"traefik-bg":{}},"services":{"web":{"weighted":{"services":[{}]}}}}}', "'name'"),
        (b'{"http":{"middlewares":{"traefik-bg":{}},"services":{"web":7}}}', "not iterable"),
        (b'{"http":{"middlewares":{"traefik-bg":{},"web-notes":{"headers":{"customResponseHeaders":{"notes":"[]"}}}},"services":{"web":{"weighted":{}}}}}', "notes on web"),
    ],
)  # fmt: skip
def test_what_is_not_ours_is_refused(data: bytes, complaint: str) -> None:
    """A damaged or foreign file is an error, never a document without apps (S5)."""
    with pytest.raises(ValueError, match=complaint):
        traffic.parse(data)


def test_a_marker_without_a_number_has_the_serial_zero() -> None:
    """A document that somebody else wrote under our name does not break the counting."""
    assert markers.serial("") == markers.serial("abc") == markers.serial("abc-²") == 0
    assert markers.found_in({}) == markers.found_in({"headers": None}) == ""


# --- what has no weight, and what guards ----------------------------------------------------------


def test_what_has_no_weight_is_absent() -> None:
    """A member of weight 0 can hang Traefik for good, so it is never written."""
    made = {WEB: Routing(shares=(share(BLUE, 0), share(GREEN, 100)), routes=(HOST,))}
    services = traffic.render(made)["http"]["services"]
    assert set(services) == {"web", f"web-{GREEN}"}
    assert services["web"] == {"weighted": {"services": [{"name": f"web-{GREEN}", "weight": 100}]}}


def test_without_the_feature_there_is_no_guard() -> None:
    """An older Traefik would refuse the whole document because of one unknown field."""
    guarded = Routing(shares=(share(GREEN, 100),), routes=(HOST,), fallback=share(BLUE, 0))
    assert traffic.render({WEB: guarded}) == traffic.render({WEB: replace(guarded, fallback=None)})


def test_a_fallback_without_replicas_guards_nothing() -> None:
    """Falling back to nobody would only replace green's answer by an empty one."""
    empty = Share(revision=BLUE, weight=0, servers=())
    guarded = Routing(shares=(share(GREEN, 100),), routes=(HOST,), fallback=empty)
    assert "web-guard" not in traffic.render({WEB: guarded}, features=ALL)["http"]["routers"]


def test_the_guard_leaves_the_priority_as_it_was() -> None:
    """The two rules of a guarded route are longer than its own, but must not outrank others."""
    guarded = Routing(shares=(share(GREEN, 100),), routes=(HOST,), fallback=share(BLUE, 0))
    routers = traffic.render({WEB: guarded}, features=ALL)["http"]["routers"]
    assert routers["web"]["priority"] == routers["web-guard"]["priority"] == len(HOST.rule)


def test_a_fallback_that_has_weight_too_is_written_once() -> None:
    """During a canary blue has a share and is the fallback: one load balancer serves both."""
    canary = Routing(shares=(share(BLUE, 95), share(GREEN, 5)), fallback=share(BLUE, 0))
    services = traffic.render({WEB: canary}, features=ALL)["http"]["services"]
    assert services["web-guard"]["failover"]["fallback"] == f"web-{BLUE}"
    assert traffic.parse(traffic.encode(traffic.render({WEB: canary}, features=ALL))) == {
        WEB: canary
    }


def test_names_are_waited_for_and_addresses_are_not() -> None:
    """While dockerd restarts no name is known, so requests wait; an address needs no dockerd."""
    for addresses, attempts in (((), 30), (("172.18.0.2",), 2)):
        made = {WEB: Routing(shares=(share(BLUE, 100, *addresses),))}
        middlewares = traffic.render(made, features=ALL)["http"]["middlewares"]
        assert middlewares["traefik-bg-retry"]["retry"]["attempts"] == attempts


DRESSED = Routing(
    shares=(share(BLUE, 100),),
    routes=(HOST, replace(HOST, rule="Path(`/`)")),
    trial=(HOST, TCP),
    fallback=share(BLUE, 0),
    kept=share(BLUE, 0),
    preview=PreviewShare(share=share(GREEN, 0), by=EVERY_WAY),
    mirror=MirrorShare(share=share(GREEN, 0), percent=10),
    loops=True,
)


# --- what does not go by weight -------------------------------------------------------------------


def test_the_routers_of_a_route_have_one_priority() -> None:
    """Whatever is previewed, kept, copied or guarded outranks nobody that the route did not."""
    for priority in (None, 7):
        routes = (replace(HOST, priority=priority),)
        made = traffic.render({WEB: replace(DRESSED, routes=routes)}, features=ALL)
        routers = made["http"]["routers"]
        for name in ("web", "web-guard", "web-preview-1", "web-kept-1", "web-mirrored-1"):
            assert routers[name]["priority"] == (priority or len(HOST.rule)), name
        assert routers["web-preview-2"].get("priority") == priority, "that is another host"


def test_a_client_that_is_kept_is_known_by_traefiks_own_cookie() -> None:
    """Traefik's value for a member of a weighted service: of its name, as it stands in the list."""
    kept = Routing(shares=(share(GREEN, 100),), routes=(HOST,), kept=share(BLUE, 0))
    rule = traffic.render({WEB: kept})["http"]["routers"]["web-kept-1"]["rule"]
    assert hashlib.sha256(f"web-{BLUE}".encode()).hexdigest()[:16] in rule
    assert "traefik\\-bg\\-web=" in rule


def test_while_requests_are_held_nothing_else_is_done_with_them() -> None:
    """Neither copied nor asked again elsewhere."""
    held = replace(DRESSED, shares=(), holds_for=5.0, trial=())
    routers = traffic.render({WEB: held}, features=ALL)["http"]["routers"]
    assert not {name for name in routers if "guard" in name or "mirrored" in name}
    assert routers["web"]["service"] == "web-held"
    assert traffic.parse(traffic.encode(traffic.render({WEB: held}, features=ALL))) == {WEB: held}


def test_tcp_gets_what_it_can() -> None:
    """What reads requests is left out of it: there are none in TCP."""
    plain = Routing(
        shares=(share(BLUE, 100),),
        routes=(TCP,),
    )
    everything = replace(DRESSED, shares=plain.shares, routes=plain.routes, trial=(), sticky=True)
    assert traffic.render({WEB: everything}, features=ALL) == traffic.render(
        {WEB: plain}, features=ALL
    )


def test_render_refuses_a_preview_that_cannot_be_asked_for() -> None:
    """Rather than a rule that means something else."""
    bad = PreviewShare(share=share(GREEN, 0), by=Preview(header=("X", "a\nb")))
    with pytest.raises(ValueError, match="no request has the header value"):
        traffic.render({WEB: replace(DRESSED, preview=bad)})


def test_what_is_tried_asks_for_no_certificate() -> None:
    """The name of a trial is nobody's, so nobody would sign one."""
    tls = Json('{"certResolver":"le","domains":[{"main":"a"}],"options":"strict"}')
    trial = (replace(HOST, tls=tls), replace(TCP, tls=tls))
    made = traffic.render({WEB: Routing(trial=trial)})
    assert made["http"]["routers"]["web-trial-1"]["tls"] == {"options": "strict"}
    assert made["tcp"]["routers"]["web-trial-2"]["tls"] == {"options": "strict"}


def test_what_answers_a_held_request_is_not_flushed_half_way() -> None:
    """A flushed "not yet" would be a "200" without the headers of the answer that comes later."""
    held = Routing(routes=(HOST,), holds_for=20.0, loops=True)

    document = traffic.render({WEB: held}, features=ALL)

    loop = document["http"]["services"]["traefik-bg-loop"]["loadBalancer"]
    assert loop["responseForwarding"] == {"flushInterval": "0s"}
