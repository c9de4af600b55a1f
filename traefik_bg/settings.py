"""How the service itself is set up: one value for each setting, and where it may come from.

A flag wins over the environment, the environment over the settings file, that over the default.
Read once, at the start, by the command line; `app` hands each part what it needs. All wrong
settings are named at once, each with its flag, its variable and its key in the file.
"""
# ruff: noqa: RUF009 - _setting() only calls field()

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from traefik_bg.adapters.desired_files import Folder, Unreadable, content_of
from traefik_bg.adapters.desired_keys import nearest
from traefik_bg.adapters.desired_tree import Items, Kind, Node, Scalar, Table, noun
from traefik_bg.adapters.desired_yaml import decoded, parsed
from traefik_bg.core.errors import DesiredStateError, SettingsError
from traefik_bg.core.rollout_rules import KEPT_GOOD_SPECS

PREFIX = "TRAEFIK_BG_"
CONFIG_FLAG = "--config"
CONFIG_VARIABLE = "TRAEFIK_BG_CONFIG"
DEFAULT_CONFIG = Path("config/settings.yaml")

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_ADDRESS = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9.-]*)):(?P<port>[0-9]{1,5})"
)


class AddressBy(StrEnum):
    """How Traefik is told where a replica is."""

    NAME = "name"
    IP = "ip"


class LogFormat(StrEnum):
    """What the log is written for."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """From which weight on something is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the service listens."""

    host: str
    """Empty: on all addresses."""
    port: int
    """0: any free port."""

    @property
    def is_loopback(self) -> bool:
        """Tell whether only this machine can reach it."""
        return self.host in {"localhost", "::1"} or self.host.startswith("127.")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


# --- what a text may mean -------------------------------------------------------------------------


def _path(text: str) -> Path:
    if "\0" in text:
        raise ValueError("is no path: it has a character U+0000")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("begins with ~ and a user that is not known") from None


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be a URL such as http://127.0.0.1:8080")
    _ = parts.port  # raises ValueError where it is no number
    return text.rstrip("/")


def _number(text: str) -> float:
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) is None:
        raise ValueError("must be a number of seconds such as 2.5")
    return float(text)


def _positive(text: str) -> float:
    if (found := _number(text)) == 0:
        raise ValueError("must be more than 0 seconds")
    return found


def _kept(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 <= int(text) <= KEPT_GOOD_SPECS:
        raise ValueError(
            f"must be a whole number up to {KEPT_GOOD_SPECS}: more good revisions are not "
            "remembered; 0 keeps all images"
        )
    return int(text)


def _label(text: str) -> str:
    if _LABEL.fullmatch(text) is None:
        raise ValueError(
            "must be a name of at most 63 letters, digits, dots, dashes and underscores that "
            "begins with a letter or a digit"
        )
    return text


def _address(text: str) -> Address:
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8090")
    return Address(match["six"] or match["host"], int(match["port"]))


def _engine(text: str) -> str:
    if text == "swarm":
        raise ValueError("swarm is not supported by this version of traefik-bg; docker is")
    if text != "docker":
        raise ValueError("must be docker")
    return text


def _one_of(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    def convert(text: str) -> StrEnum:
        try:
            return kind(text.lower())
        except ValueError:
            raise ValueError(f"must be {' or '.join(kind)}") from None

    return convert


def _setting(default: Any, convert: Callable[[str], Any], meaning: str, **more: bool) -> Any:
    """Return a field with all that is known of the setting; `meaning` is also its help text."""
    return field(default=default, metadata={"convert": convert, "meaning": meaning, **more})


def _urls(meaning: str) -> Any:
    return _setting((), _url, meaning, is_list=True)


# --- the settings ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set about the service."""

    desired: Path = _setting(
        Path("config/desired.yaml"),
        _path,
        "what should run: a file, or a folder of *.yaml files. The default is where the sample "
        "configuration has it",
    )
    state_dir: Path = _setting(
        Path("state"),
        _path,
        "folder for what must outlive the service: records, history, the lock. The default is "
        "beside the configuration; losing it costs time, never safety",
    )
    dynamic_dir: Path | None = _setting(
        None,
        _path,
        "folder that Traefik's file provider watches, as this service sees it; the routing is "
        "written there. Empty, the default: nothing is written, and Traefik has to fetch it from "
        "/provider",
        is_optional=True,
    )
    traefik_api: tuple[str, ...] = _urls(
        "URLs of the APIs of all Traefiks; they confirm what is routed. None by default: then the "
        "marker confirms, and without that, time",
    )
    traefik_marker: tuple[str, ...] = _urls(
        "URLs of entry points of all Traefiks; a marker route there confirms what is routed, where "
        "the API is off. None by default",
    )
    traefik_metrics: tuple[str, ...] = _urls(
        "URLs of the Prometheus metrics of all Traefiks, which a canary is judged by. None by "
        "default: then /metrics beside each API, where Traefik has them unless told otherwise",
    )
    settle: float = _setting(
        3.0,
        _number,
        "seconds after which what was published counts as loaded, where neither API nor marker "
        "can say so. 3: Traefik waits up to 2 by default before it loads",
    )
    network: str = _setting(
        "traefik-bg",
        _label,
        "Docker network that Traefik and the replicas share. The default is the one of the sample "
        "configuration",
    )
    address_by: AddressBy = _setting(
        AddressBy.NAME,
        _one_of(AddressBy),
        "how Traefik reaches replicas. name, the default: by the container's name, where Traefik "
        "is a container in their network; names are never used again. ip: by its address, where "
        "Traefik runs on the host itself",
    )
    listen: Address = _setting(
        Address("127.0.0.1", 8090),
        _address,
        "HOST:PORT of the API and the dashboard. Loopback by default, for whoever can reach it may "
        "look; 8090, as Traefik's own API is on 8080",
    )
    engine: str = _setting(
        "docker",
        _engine,
        "what runs the containers: docker, the default and the only one in this version",
    )
    token_file: Path | None = _setting(
        None,
        _path,
        "file with the token that commands need. Empty, the default: commands need none",
        is_optional=True,
    )
    instance: str = _setting(
        "default",
        _label,
        "name of this service, where several share one Docker: each touches only the containers "
        "that are labelled with its own name. The name is 'default' unless set; after a change, "
        "what ran under the old name is left alone, and goes on running",
    )
    resync: float = _setting(
        10.0,
        _positive,
        "seconds after which an app is looked at even if nothing happens. 10 by default: a net "
        "under the events, which are fast",
    )
    keep_images: int = _setting(
        KEPT_GOOD_SPECS,
        _kept,
        "how many earlier good revisions of each app keep their image on the machine. Images that "
        "traefik-bg pulled itself, and that no app needs beyond these, are removed; others never "
        "are. 5 by default, as many as a rollback can go to; 0: none is ever removed",
    )
    log_format: LogFormat = _setting(
        LogFormat.AUTO,
        _one_of(LogFormat),
        "json, console, or auto, the default: console on a terminal, else json",
    )
    log_level: LogLevel = _setting(
        LogLevel.INFO,
        _one_of(LogLevel),
        "the least that is logged: debug (every look), info (whatever changes; the default), "
        "warning (what needs attention) or error",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting as people meet it."""

    key: str
    """Its name in the settings file, and as a keyword of `load_settings`."""
    meaning: str
    default: object
    convert: Callable[[str], Any]
    is_list: bool = False
    is_optional: bool = False
    """Whether an empty text stands for none."""

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.key.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return PREFIX + self.key.upper()


SETTINGS: tuple[Setting, ...] = tuple(
    Setting(key=setting.name, default=setting.default, **setting.metadata)
    for setting in fields(Settings)
)


# --- where they come from -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Found:
    """Texts given for one setting, and where."""

    where: str
    texts: Sequence[str]


def load_settings(
    flags: Mapping[str, object],
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> Settings:
    """Return the settings; a flag that is None or an empty list was not given.

    Raises:
        SettingsError: some of them are wrong; all those are named.
    """
    environ = os.environ if environ is None else environ
    mistakes: list[str] = []
    in_file = _in_file(config, environ, mistakes)
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        found = (
            _from_flag(setting, flags.get(setting.key))
            or _from_environment(setting, environ)
            or in_file.get(setting.key)
        )
        if found is not None:
            try:
                values[setting.key] = _value(setting, found.texts)
            except ValueError as error:
                mistakes.append(_mistake(setting, found, str(error)))
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return Settings(**values)


def _value(setting: Setting, texts: Sequence[str]) -> Any:
    if setting.is_list:
        parts = [part.strip() for text in texts for part in text.split(",")]
        return tuple(dict.fromkeys(setting.convert(part) for part in parts if part))
    text = texts[-1].strip() if texts else ""
    if not text and setting.is_optional:
        return None
    if not text:
        raise ValueError("is empty")
    return setting.convert(text)


def _mistake(setting: Setting, found: _Found, reason: str) -> str:
    given = ", ".join(f'"{text}"' for text in found.texts)
    names = f"{setting.flag}, {setting.variable} or {setting.key} in the settings file"
    return f"{found.where}: {given} {reason} (set it with {names})"


def _from_flag(setting: Setting, given: object) -> _Found | None:
    if given is None or (isinstance(given, list | tuple) and not given):
        return None
    texts = [str(part) for part in given] if isinstance(given, list | tuple) else [str(given)]
    return _Found(setting.flag, texts)


def _from_environment(setting: Setting, environ: Mapping[str, str]) -> _Found | None:
    if (text := environ.get(setting.variable)) is None:
        return None
    return _Found(setting.variable, [text])


def _in_file(
    config: Path | None, environ: Mapping[str, str], mistakes: list[str]
) -> Mapping[str, _Found]:
    """Return what the settings file says, if there is one."""
    named = config or (Path(environ[CONFIG_VARIABLE]) if environ.get(CONFIG_VARIABLE) else None)
    path = named or DEFAULT_CONFIG
    content = content_of(path)
    if isinstance(content, Folder | Unreadable):
        is_absent = isinstance(content, Unreadable) and content.is_missing
        if named is not None or not is_absent:
            reason = "is a folder" if isinstance(content, Folder) else content.reason
            mistakes.append(f"{path}: {reason} (set it with {CONFIG_FLAG} or {CONFIG_VARIABLE})")
        return {}
    wrong: list[DesiredStateError] = []
    try:
        root = parsed(decoded(content, str(path)), str(path), wrong)
    except DesiredStateError as error:
        root, wrong = None, [error]
    mistakes.extend(str(error) for error in wrong)
    return dict(_entries(root, path, mistakes)) if root is not None else {}


def _entries(root: Node, path: Path, mistakes: list[str]) -> Iterator[tuple[str, _Found]]:
    if not isinstance(root, Table):
        mistakes.append(f"{path}:{root.place.line}: must be a mapping, not {noun(root)}")
        return
    known = {setting.key: setting for setting in SETTINGS}
    for key, entry in root.own_entries():
        where = f"{path}:{entry.place.line}: {key}"
        if key not in known:
            mistakes.append(f"{where}: is no setting; {nearest(key, known)}")
            continue
        texts = _texts(entry.node, is_list=known[key].is_list)
        if texts is None:
            mistakes.append(f"{where}: must be one value, not {noun(entry.node)}")
        else:
            yield key, _Found(where, texts)


def _texts(node: Node, *, is_list: bool) -> Sequence[str] | None:
    if isinstance(node, Scalar):
        return [] if node.kind is Kind.EMPTY else [node.text]
    if not isinstance(node, Items) or not is_list:
        return None
    texts = [item.text for item in node.items if isinstance(item, Scalar)]
    return texts if len(texts) == len(node.items) else None
