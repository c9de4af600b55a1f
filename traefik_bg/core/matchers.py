"""The words of Traefik's rules: what a request must look like to be meant for somebody.

Apart from the routers because texts of users go into them, which must not mean anything else there
than they meant to the user. Called by `traffic_routers`; the desired file asks `objection`. Pure.
"""

from __future__ import annotations

import hashlib
import re

from traefik_bg.core.names import balancer_name, cookie_name
from traefik_bg.core.rollout import Preview

SAFE = "Method(`GET`) || Method(`HEAD`)"  # these have no body to keep and may be asked twice
PLAIN = "!HeaderRegexp(`Upgrade`, `.`) && !HeaderRegexp(`Content-Type`, `^application/grpc`)"
"""Not a conversation, as websockets and gRPC streams are: those cannot be had twice, and Traefik
would wait for all that the client has to say."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110: names of headers and of cookies
_HEADER_VALUE = re.compile(
    r"[!-~\u00a1-\U0010ffff]([ -~\u00a1-\U0010ffff]*[!-~\u00a1-\U0010ffff])?"
)
_COOKIE_VALUE = re.compile(r"[!#-+\--:<-\[\]-~]+")  # RFC 6265: no blank, quote, comma, ; nor \
_HOST = re.compile(r"(?!-)[0-9A-Za-z_-]{1,63}(\.(?!-)[0-9A-Za-z_-]{1,63})*")
_ANY = "PathPrefix(`/`)"
_WORDS = re.compile(r"`[^`]*`|\"(?:\\.|[^\"\\])*\"|!|\(|\)|[A-Za-z]+|[^`\"!()A-Za-z]+|.", re.DOTALL)


def default_priority(rule: str) -> int:
    """Return the priority that Traefik gives to a router with this rule."""
    return len(rule.encode())


def objection(preview: Preview) -> str | None:
    """Return why Traefik cannot be told of this preview; None: it can."""
    match preview:
        case Preview(header=(name, _)) if not _TOKEN.fullmatch(name):
            return f"{name!r} is not the name of a header"
        case Preview(header=(_, value)) if not _HEADER_VALUE.fullmatch(value):
            return (
                f"no request has the header value {value!r}: one has no control character, and "
                "no blank at either end"
            )
        case Preview(cookie=(name, _)) if not _TOKEN.fullmatch(name):
            return f"{name!r} is not the name of a cookie"
        case Preview(cookie=(_, value)) if not _COOKIE_VALUE.fullmatch(value):
            return (
                f"no cookie has the value {value!r}: one is of ASCII, without blanks, quotes, "
                "commas, semicolons and backslashes"
            )
        case Preview(host=str(host)) if not _HOST.fullmatch(host):
            return f"{host!r} is not the name of a host"
        case Preview(header=None, cookie=None, host=None):
            return "it says nothing by which a request could ask for it"
        case _:
            return None


def asks_for(preview: Preview) -> str:
    """Return the condition that a request asks for green by a header or a cookie; else empty."""
    found = []
    if preview.header is not None:
        name, value = preview.header
        found.append(f"Header({quoted(name)}, {quoted(value)})")
    if preview.cookie is not None:
        found.append(has_cookie(*preview.cookie))
    return " || ".join(found)


def has_cookie(name: str, value: str) -> str:
    """Return the condition that a request has a whole cookie of this name and value."""
    pattern = rf"(^|;)\s*{re.escape(name)}={re.escape(value)}\s*(;|$)"
    return f"HeaderRegexp(`Cookie`, {quoted(pattern)})"


def began_on(app: str, revision: str) -> str:
    """Return the condition that a client was given to this revision by the app's own cookie."""
    # Traefik's value for a member of a weighted service: of its name as it stands in the list.
    value = hashlib.sha256(balancer_name(app, revision).encode()).hexdigest()[:16]
    return has_cookie(cookie_name(app), value)


def on_host(host: str) -> str:
    """Return the condition that a request is for this host."""
    return f"Host({quoted(host)})"


def on_one_host(host: str) -> str:
    """Return the same condition, to be excluded.

    As an expression, because Traefik asks for a certificate for every `Host` in a rule, also for
    one that the rule excludes.
    """
    return f"HostRegexp({quoted('(?i)^' + re.escape(host) + '$')})"


def moved(rule: str, host: str) -> str:
    """Return the rule for the same requests on another host.

    Its own hosts do not matter any more, but for those that it excludes: they stay excluded.
    """
    words = _WORDS.findall(rule)
    made: list[str] = []
    negated = [False]  # for every open bracket: is what stands in it true when it does not match?
    is_next_negated = False
    index = 0
    while index < len(words):
        word = words[index]
        if word.lower() in {"host", "hostregexp"} and not (negated[-1] ^ is_next_negated):
            index = _end_of_call(words, index)
            made.append(_ANY)
            is_next_negated = False
            continue
        if word == "!":
            is_next_negated = not is_next_negated
        elif word == "(":
            negated.append(negated[-1] ^ is_next_negated)
            is_next_negated = False
        elif word == ")" and len(negated) > 1:
            negated.pop()
        made.append(word)
        index += 1
    return f"({''.join(made)}) && {on_host(host)}"


def _end_of_call(words: list[str], start: int) -> int:
    """Return where the call of a matcher ends; its arguments are texts only."""
    try:
        return words.index(")", start) + 1
    except ValueError:
        return len(words)


def quoted(text: str) -> str:
    """Return a text as the rules' parser, which is Go's, reads it back."""
    if "`" not in text and "\r" not in text:
        return f"`{text}`"
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r") + '"'


def within(rule: str, condition: str, excluded: tuple[str, ...] = ()) -> str:
    """Return the rule for those requests that meet the condition and none of the excluded."""
    met = f" && ({condition})" if condition else ""
    return f"({rule}){met}" + "".join(f" && !({other})" for other in excluded)


def without(rule: str, excluded: tuple[str, ...]) -> str:
    """Return the rule from which `within` made this one, excluding these."""
    suffix = within("", "", excluded).removeprefix("(")
    return rule.removeprefix("(").removesuffix(suffix)
