"""Rules in the syntax of Traefik 2, said in that of Traefik 3.

Apart from the routers because it knows nothing of Compose: text in, text out. What means the same
in both is left as it is. Pure.
"""

from __future__ import annotations

import re

_MATCHER = re.compile(
    r"(?P<name>[A-Za-z]+)\(\s*(?P<arguments>(?:`[^`]*`|\"(?:\\.|[^\"\\])*\")"
    r"(?:\s*,\s*(?:`[^`]*`|\"(?:\\.|[^\"\\])*\"))*)\s*\)"
)
_ARGUMENT = re.compile(r"`[^`]*`|\"(?:\\.|[^\"\\])*\"")
_ANY_OF = {
    "ClientIP",
    "Host",
    "HostRegexp",
    "HostSNI",
    "HostSNIRegexp",
    "Method",
    "Path",
    "PathPrefix",
}
"""Of several values any will do; Traefik 3 takes one each."""
_RENAMED = {"HostHeader": "Host", "Headers": "Header", "HeadersRegexp": "HeaderRegexp"}
_AS_REGEXP = {
    "HostRegexp": "HostRegexp",
    "HostSNIRegexp": "HostSNIRegexp",
    "Path": "PathRegexp",
    "PathPrefix": "PathRegexp",
}
"""What may have {name:pattern} in it."""
_TEMPLATE = re.compile(r"(?<![$\\pP])\{[A-Za-z_][A-Za-z0-9_]*[:}]")  # neither ${VAR} nor \p{L}


def modern(rule: str) -> str:
    """Return the rule as Traefik 3 understands it."""
    return _MATCHER.sub(_translated, rule)


def _translated(found: re.Match[str]) -> str:
    old = found["name"]
    name = _RENAMED.get(old, old)
    values = [argument[1:-1] for argument in _ARGUMENT.findall(found["arguments"])]
    if name == "Query":
        return _queries(found[0], values)
    if name not in _ANY_OF:
        return found[0] if name == old else f"{name}({found['arguments']})"
    made = [_one(name, value) for value in values]
    if len(made) == 1:
        is_same = name == old and not _has_template(name, values[0])
        return found[0] if is_same else made[0]
    return f"({' || '.join(made)})"


def _queries(whole: str, pairs: list[str]) -> str:
    """Return `key=value` as key and value; in Traefik 2 all of them must be there."""
    if not all("=" in pair for pair in pairs):
        return whole
    made = [
        f"Query(`{key}`, `{value}`)" for key, _, value in (pair.partition("=") for pair in pairs)
    ]
    return made[0] if len(made) == 1 else f"({' && '.join(made)})"


def _one(name: str, value: str) -> str:
    if not _has_template(name, value):
        return f"{name}(`{value}`)"
    is_host = name.startswith("Host")
    pattern = "".join(_pieces(value, "[^.]+" if is_host else "[^/]+"))
    end = "" if name == "PathPrefix" else "$"
    return f"{_AS_REGEXP[name]}(`^{pattern}{end}`)"


def _has_template(name: str, value: str) -> bool:
    return name in _AS_REGEXP and not value.startswith("^") and bool(_TEMPLATE.search(value))


def _pieces(value: str, default: str) -> list[str]:
    """Return the parts of a template as patterns: {name:pattern} is one, all else is literal."""
    made: list[str] = []
    start, depth = 0, 0
    for index, letter in enumerate(value):
        if letter == "{":
            if depth == 0:
                made.append(re.escape(value[start:index]))
                start = index + 1
            depth += 1
        elif letter == "}" and depth:
            depth -= 1
            if depth == 0:
                _, has_pattern, pattern = value[start:index].partition(":")
                made.append(pattern if has_pattern else default)
                start = index + 1
    return [*made, re.escape(value[start:])]
