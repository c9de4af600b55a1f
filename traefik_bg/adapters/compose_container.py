"""The container keys of a Compose service, made those of an app.

Apart from routes and health because these are Compose's own words on both sides: what is honoured
stays, what is not is left out with a note, by the table of keys. What refers to other parts of
the file by name is in `compose_references`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from traefik_bg.adapters.compose_file import ComposeFile
from traefik_bg.adapters.compose_keys import SERVICE, Standing
from traefik_bg.adapters.compose_paths import Paths
from traefik_bg.adapters.compose_references import References
from traefik_bg.adapters.compose_values import (
    Note,
    below,
    changed,
    derived,
    is_blank,
    listed,
    summary,
    text_of,
    texts_only,
    word,
    written,
)
from traefik_bg.adapters.desired_keys import unknown_key
from traefik_bg.adapters.desired_tree import Entry, Items, Kind, Node, Scalar, Table, is_note

RESTARTS = {"none": "no", "any": "always", "": "always"}
"""deploy.restart_policy.condition as Docker's restart policy, as docker compose has it."""

_TEXTS = {"annotations", "command", "entrypoint", "environment", "labels", "sysctls"}
"""Where what YAML takes for true or false is text to Compose."""
_PULLED = {"missing", "if_not_present"}
_WILD = {"networks", "ulimits"}
"""Where the second step is a name."""

_KEPT = {
    "build",
    "container_name",
    "depends_on",
    "deploy.replicas",
    "deploy.restart_policy",
    "profiles",
    "scale",
}
"""What is said in other words, or was for docker compose alone."""

_WHY: Mapping[str, str] = {
    "build": "nothing is built here: build and tag the image, with a new tag for each version, "
    "and write it under image",
    "container_name": "blue and green run side by side, so each replica gets a name of its own; "
    "others reach the app by this name all the same, as an alias",
    "depends_on": "traefik-bg waits for health, not for order: the app must retry until they "
    "are there",
    "deploy.labels": "they are for Swarm; what Compose gives the container stands under labels",
    "deploy.mode": "it is for Swarm; replicas says how many there are",
    "deploy.replicas": "written as replicas",
    "deploy.restart_policy": "written as restart, as docker compose understands it, if that "
    "does not say it already",
    "extends": "what it extends is put in",
    "links": "the app reaches containers in its networks by the name of their service",
    "network_mode": "Traefik must reach the replicas in the network they share",
    "networks.*.ipv4_address": "blue and green run side by side, so none can have a fixed address",
    "networks.*.ipv6_address": "blue and green run side by side, so none can have a fixed address",
    "ports": "blue and green would fight for them; Traefik publishes the app",
    "profiles": "every app that is desired runs",
    "scale": "written as replicas",
    "volumes_from": "add the volumes of that service under volumes",
}


class Container:
    """The container keys of one service being understood."""

    def __init__(self, file: ComposeFile, paths: Paths, name: str, service: Table) -> None:
        self._file = file
        self._paths = paths
        self._name = name
        self._service = service
        self._references = References(file, paths, name, service, self.note)
        self._networks: Node | None = None
        self.notes: list[Note] = []
        self.found: dict[str, Entry] = {}
        """The keys of the app."""
        self.declared: dict[str, dict[str, Entry]] = {}

    def note(self, key: str, node: Node, message: str) -> None:
        """Take a note of something that is not in the app as it was."""
        self.notes.append(Note(node.place, key, message, summary(node), key in _KEPT))

    def understand(self) -> None:
        """Go through all keys; labels and what is made of them are somebody else's."""
        for key, entry in self._service.entries.items():
            if is_note(key):
                self.found[key] = entry
                continue
            if key not in SERVICE:
                said = unknown_key("", key, [name for name in SERVICE if "." not in name])
                self._file.documents.mistakes.append(entry.place.mistake(said))
                continue
            if is_blank(entry.node):
                self.note(key, entry.node, "it says nothing")
                continue
            self._key(key, entry)
        self._image()
        if (joined := self._references.networks(self._networks)) is not None:
            self.found["networks"] = joined
        self.declared = self._references.declared

    def _key(self, key: str, entry: Entry) -> None:
        special = self._special.get(key)
        if SERVICE[key].standing is not Standing.HONOURED:
            self._leave_out(key, entry.node)
            if special is not None:
                special(self, entry)
            return
        node = self._pruned(entry.node, (key,))
        if key in _TEXTS:
            node = texts_only(node)
        if special is not None:
            special(self, Entry(entry.place, node))
        else:
            self.found[key] = Entry(entry.place, node)

    def _leave_out(self, key: str, node: Node) -> None:
        self.note(key, node, _WHY.get(key) or SERVICE[key].note)

    # --- what cannot be ---------------------------------------------------------------------------

    def _pruned(self, node: Node, path: tuple[str, ...], spelled: str = "") -> Node:
        """Return a value without the parts of it that cannot be had here."""
        spelled = spelled or ".".join(path)
        match node:
            case Items(items=items):
                kept = tuple(self._pruned(item, path, spelled) for item in items)
                return Items(kept, node.place)
            case Table(entries=entries):
                return Table(node.place, dict(self._kept(entries, path, spelled)))
            case _:
                return node

    def _kept(
        self, entries: Mapping[str, Entry], path: tuple[str, ...], spelled: str
    ) -> Iterator[tuple[str, Entry]]:
        is_wild = len(path) == 1 and path[0] in _WILD
        for name, entry in entries.items():
            below_it, here = (*path, "*" if is_wild else name), f"{spelled}.{name}"
            key = ".".join(below_it)
            row = SERVICE.get(key)
            if row is None or row.standing is Standing.HONOURED:
                yield name, Entry(entry.place, self._pruned(entry.node, below_it, here))
            else:
                self.note(here, entry.node, _WHY.get(key) or row.note)

    # --- single keys ------------------------------------------------------------------------------

    def _image(self) -> None:
        """Give what Compose builds the name that Compose gives it."""
        if "image" in self.found:
            return
        build = self._service.entries.get("build")
        place = build.place if build is not None else self._service.place
        if build is not None:
            self.found["image"] = Entry(place, word(f"{self._file.project}-{self._name}", place))

    def _deploy(self, entry: Entry) -> None:
        given = self._service.entries["deploy"].node
        replicas, policy = below(given, "replicas"), below(given, "restart_policy")
        if replicas is not None and not is_blank(replicas) and "scale" not in self._service.entries:
            self.found["replicas"] = Entry(replicas.place, replicas)
        if policy is not None and "restart" not in self._service.entries:
            self.found["restart"] = Entry(policy.place, _restart(policy))
        if isinstance(entry.node, Table) and entry.node.entries:
            self.found["deploy"] = entry

    def _scale(self, entry: Entry) -> None:
        self.found["replicas"] = entry

    def _pull_policy(self, entry: Entry) -> None:
        if text_of(entry.node) in _PULLED:
            self.found["pull_policy"] = entry
            return
        self.note(
            "pull_policy",
            entry.node,
            "an image is pulled when it is not on this machine: use a new tag for each version",
        )

    def _namespace(self, key: str, entry: Entry) -> None:
        if text_of(entry.node).startswith("service:"):
            self.note(key, entry.node, "replicas share no namespace with a service of Compose's")
            return
        self.found[key] = entry

    def _files(self, key: str, entry: Entry) -> None:
        """Take over the paths of files that traefik-bg reads."""
        made: list[Node] = []
        for item in listed(entry.node):
            path = below(item, "path") if isinstance(item, Table) else item
            if not isinstance(path, Scalar) or path.kind is Kind.EMPTY:
                made.append(item)  # a mistake that is found later
                continue
            there = self._paths.read(path)
            if isinstance(item, Table):
                made.append(Table(item.place, {**item.entries, "path": Entry(path.place, there)}))
            else:
                made.append(there)
        self.found[key] = Entry(entry.place, Items(tuple(made), entry.node.place))

    def _security(self, entry: Entry) -> None:
        """Take over the paths of seccomp profiles."""
        made = [
            self._profile(item) if isinstance(item, Scalar) else item for item in listed(entry.node)
        ]
        self.found["security_opt"] = Entry(entry.place, Items(tuple(made), entry.node.place))

    def _profile(self, option: Scalar) -> Scalar:
        name, mark, path = option.text.partition("=" if "=" in option.text else ":")
        if (
            name != "seccomp"
            or path in {"", "unconfined", "builtin"}
            or path.lstrip().startswith("{")
        ):
            return option
        there = self._paths.read(
            changed(option, lambda text: text.partition(mark)[2], self._file.variables)
        )
        spelled = f"seccomp={written(there)}"
        return derived(option, f"seccomp={there.text}", spelled, self._file.variables)

    def _volumes(self, entry: Entry) -> None:
        made = self._references.volumes(entry)
        if made is not None:
            self.found["volumes"] = made

    def _contents(self, section: str, entry: Entry) -> None:
        self.found[section] = self._references.contents(section, entry)

    def _join(self, networks: Node) -> None:
        self._networks = networks

    _special: Mapping[str, Callable[[Container, Entry], None]] = {
        "configs": lambda self, entry: self._contents("configs", entry),
        "deploy": lambda self, entry: self._deploy(entry),
        "env_file": lambda self, entry: self._files("env_file", entry),
        "ipc": lambda self, entry: self._namespace("ipc", entry),
        "label_file": lambda self, entry: self._files("label_file", entry),
        "networks": lambda self, entry: self._join(entry.node),
        "pid": lambda self, entry: self._namespace("pid", entry),
        "pull_policy": lambda self, entry: self._pull_policy(entry),
        "scale": lambda self, entry: self._scale(entry),
        "secrets": lambda self, entry: self._contents("secrets", entry),
        "security_opt": lambda self, entry: self._security(entry),
        "volumes": lambda self, entry: self._volumes(entry),
    }


def _restart(policy: Node) -> Scalar:
    """Return Docker's restart policy for one of deploy's."""
    condition = text_of(below(policy, "condition"))
    attempts = text_of(below(policy, "max_attempts"))
    if condition == "on-failure" and attempts:
        return word(f"on-failure:{attempts}", policy.place)
    return word(RESTARTS.get(condition, condition), policy.place)
