"""One service of a Compose file, understood: the app that it becomes, and what of it does not.

The one place where both ways in meet: `import` writes down what is found here, and an app's own
`compose` has it read each time. Whatever of the service is not in the app is in a note. Called
with the file read; knows no command line and writes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from traefik_bg.adapters import compose_balancers as balancers
from traefik_bg.adapters.compose_container import Container
from traefik_bg.adapters.compose_file import ComposeFile
from traefik_bg.adapters.compose_health import asked_port, health_of, is_off, published
from traefik_bg.adapters.compose_labels import Option, is_traefiks, options_of
from traefik_bg.adapters.compose_paths import Paths
from traefik_bg.adapters.compose_routers import (
    AMBIGUOUS,
    PROTOCOLS,
    Labelled,
    Qualify,
    Router,
    Routes,
)
from traefik_bg.adapters.compose_values import (
    Note,
    below,
    listed,
    summary,
    table,
    text_of,
    texts_only,
    word,
    written,
)
from traefik_bg.adapters.desired_tree import Entry, Items, Node, Place, Scalar, Table

_NO_UDP = "UDP has no connections to drain, so it cannot be switched"
NO_PORT = "80"  # says nothing where a HEALTHCHECK decides and no request comes
FIRST = ("image", "port", "replicas", "route", "health", "rollout", "adopt")
"""The keys that are ours, in the order in which people look for them."""


@dataclass(slots=True)
class Understood:
    """What a Compose service becomes."""

    name: str
    place: Place
    labelled: Labelled
    app: dict[str, Entry] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    declared: dict[str, dict[str, Entry]] = field(default_factory=dict)
    """What must be declared beside the apps for it, by section and name."""

    @property
    def table(self) -> Table:
        """The app as a mapping."""
        first = {key: self.app[key] for key in FIRST if key in self.app}
        return Table(self.place, first | self.app)


def labelled(file: ComposeFile, name: str, service: Table) -> Labelled:
    """Return what Traefik's labels say of a service."""
    labels = _Labels.of(file, service)
    return Labelled.of(options_of(labels.all, file.documents.mistakes), name, file.project)


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels of a service, and those of the files it names, which are below its own."""

    place: Place
    own: Mapping[str, Entry]
    in_files: Mapping[str, Entry]

    @classmethod
    def of(cls, file: ComposeFile, service: Table) -> _Labels:
        own = service.entries.get("labels")
        node = texts_only(own.node) if own is not None else None
        in_files: dict[str, Entry] = {}
        files = service.entries.get("label_file")
        for item in listed(files.node) if files is not None else ():
            if isinstance(item, Scalar):
                path = file.documents.beside(item.place, item.text)
                for label, text in file.documents.values_of(item.place, path).items():
                    in_files[label] = Entry(item.place, word(text, item.place))
        return cls(
            own.place if own is not None else service.place,
            node.entries if isinstance(node, Table) else {},
            in_files,
        )

    @property
    def all(self) -> Table:
        return Table(self.place, {**self.in_files, **self.own})


class Understanding:
    """One service being understood."""

    def __init__(
        self,
        file: ComposeFile,
        paths: Paths,
        name: str,
        qualify: Qualify,
        *,
        port: str | None = None,
        choice: str = "port: 8000 beside compose",
        asked: Place | None = None,
    ) -> None:
        """Read the service; `port` is what somebody chose, `choice` how that is done.

        `asked` is where the service is named, if that is not on the command line.

        Raises:
            DesiredStateError: there is no such service.
        """
        self._file = file
        self._paths = paths
        self._name = name
        self._qualify = qualify
        self._port_chosen = port
        self._choice = choice
        self._service = file.service(name, asked)
        place = file.services[name].place
        self.place = Place(place.file, place.line, f"services.{name}")
        self._labels = _Labels.of(file, self._service)
        options = options_of(self._labels.all, file.documents.mistakes)
        self.made = Understood(name, self.place, Labelled.of(options, name, file.project))

    def understood(self) -> Understood:
        """Return what the service becomes."""
        made, label = self.made, self.made.labelled
        container = Container(self._file, self._paths, self._name, self._without_traefik())
        container.understand()
        made.notes += container.notes
        made.declared = container.declared
        made.app |= container.found
        routers = self._chosen(label.routers) if label.is_routed else []
        self._possible(routers)
        port = self._port(routers)
        made.app["port"] = Entry(port.place, port)
        made.app["route"] = self._route(routers)
        health = health_of(self._healthcheck, self._balancers_health(routers), text_of(port))
        if health is not None:
            made.app["health"] = health
        self._may_run_twice()
        made.app["adopt"] = self._adopted()
        self._rest(routers)
        return made

    def _adopted(self) -> Entry:
        """Return the containers that Compose runs of it now, if it does."""
        place = self.place
        entries: dict[str, Node] = {
            "project": word(self._file.project, place),
            "service": word(self._name, place),
        }
        if moved := [router.option.name for router in self.made.labelled.foreign]:
            entries["moved"] = Items(tuple(word(name, place) for name in moved), place)
        return Entry(place, table(place, entries))

    def _mistake(self, message: str, place: Place | None = None) -> None:
        self._file.documents.mistakes.append((place or self.place).mistake(message))

    @property
    def _healthcheck(self) -> Entry | None:
        return self._service.entries.get("healthcheck")

    # --- labels -----------------------------------------------------------------------------------

    def _without_traefik(self) -> Table:
        """Return the service with the labels that are not Traefik's, and one that is."""
        labels = self._labels
        if not any(map(is_traefiks, labels.all.entries)):
            return self._service
        entries = dict(self._service.entries)
        kept = labels.own
        if any(map(is_traefiks, labels.in_files)):
            kept = labels.all.entries
            files = entries.pop("label_file")
            said = "Traefik's labels are in it, so all of it stands under labels"
            self.made.notes.append(
                Note(files.place, "label_file", said, summary(files.node), is_kept=True)
            )
        place = labels.place
        kept = {label: entry for label, entry in kept.items() if not is_traefiks(label)}
        off = Entry(place, word("false", place))
        entries["labels"] = Entry(place, Table(place, {**kept, "traefik.enable": off}))
        return Table(self._service.place, entries)

    def _chosen(self, routers: list[Router]) -> list[Router]:
        """Return the routers that one app can have: all lead to one port, by one protocol."""
        unclear = [router.option.first() for router in routers if router.service == AMBIGUOUS]
        for option in unclear:
            said = "which of its services is meant? Traefik cannot know, so name it under service"
            self._mistake(f"{option.label}: {said}", option.place)
        if unclear:
            return []
        ways = dict.fromkeys((router.protocol, router.port) for router in routers)
        if len(ways) > 1:
            return self._of_several(routers, list(ways))
        if any(protocol == "udp" for protocol, _ in ways):
            option = routers[0].option.first()
            self._mistake(f"{option.label}: {_NO_UDP}; leave the service to Compose", option.place)
        return routers

    def _of_several(self, routers: list[Router], ways: list[tuple[str, str]]) -> list[Router]:
        """Return the routers to the port that was chosen; the others are noted."""
        named = " and ".join(f"{protocol} port {port or '(not named)'}" for protocol, port in ways)
        chosen = [
            router
            for router in routers
            if router.protocol != "udp" and router.port in {"", self._port_chosen}
        ]
        if self._port_chosen is None or not chosen:
            self._mistake(
                f"its labels lead to {named}, and an app has one port: choose one with "
                f"{self._choice}, or leave the service to Compose"
            )
            return []
        for router in routers:
            if router not in chosen:
                is_udp = router.protocol == "udp"
                self._elsewhere(router, _NO_UDP if is_udp else f"it leads to port {router.port}")
        return chosen

    def _elsewhere(self, router: Router, why: str) -> None:
        for leaf in router.option.leaves():
            leaf.is_used = True
            shown = written(leaf.value) if leaf.value is not None else ""
            self.made.notes.append(Note(leaf.place, leaf.label, why, shown))

    def _route(self, routers: list[Router]) -> Entry:
        label = self.made.labelled
        place = routers[0].option.place if routers else self.place
        routes = Routes(label, self._file.variables, self._qualify, self._labels.place)
        found: list[Table] = []
        if label.is_routed:
            found = routes.of(routers, sticky=balancers.is_sticky(self._balancers(routers)))
        self.made.notes += routes.notes
        if len(found) == 1:
            return Entry(place, found[0])
        return Entry(place, Items(tuple(found), place))

    def _balancers(self, routers: list[Router]) -> list[balancers.Balancer]:
        return balancers.used(self.made.labelled, routers)

    def _possible(self, routers: list[Router]) -> None:
        """Note it as a mistake when Traefik reaches the container in a way that we cannot."""
        for balancer in self._balancers(routers):
            for option, why in balancer.impossible():
                self._mistake(f"{option.label}: {why}; leave the service to Compose", option.place)

    def _rest(self, routers: list[Router]) -> None:
        """Take note of all labels of Traefik's that nobody asked for."""
        label = self.made.labelled
        routes = Routes(label, self._file.variables, self._qualify, self._labels.place)
        used = self._balancers(routers)
        if self._port_chosen is not None:
            for balancer in used:
                if (port := balancer.option.at("server", "port")) is not None:
                    routes.note(port, "the port was chosen by hand", is_kept=True)
        balancers.settle(used, routes)
        options = label.options
        options.take("enable")
        if (network := options.at("docker", "network")) is not None:
            said = "traefik-bg reaches replicas in the network of its setting --network"
            routes.note(network, said, is_kept=True)
        for protocol in PROTOCOLS:  # these are handed over for Traefik's own files
            for option in options.children(protocol, "middlewares"):
                option.use()
        for router in label.foreign:
            router.option.use()
        routes.note(options, "it has no meaning here")
        self.made.notes += routes.notes

    # --- port, health, rollout --------------------------------------------------------------------

    def _port(self, routers: list[Router]) -> Scalar:
        """Return where the app listens; not to know it is a mistake."""
        if self._port_chosen is not None:
            return word(self._port_chosen, self.place)
        for balancer in self._balancers(routers):
            if (found := balancer.option.take("server", "port")) is not None:
                return found
        found = published(self._service) or asked_port(self._healthcheck)
        if found is not None:
            return found
        has_check = self._healthcheck is not None and not is_off(self._healthcheck.node)
        if not self.made.labelled.is_routed and has_check:
            said = "nobody asks it there: it has no route, and its healthcheck decides"
            self.made.notes.append(Note(self.place, "port", said, is_kept=True))
            return word(NO_PORT, self.place)
        self._mistake(
            "at which port does it listen? Traefik asks the image, which cannot be seen here: "
            f"say {self._choice}, or write expose: [8000] in the service"
        )
        return word(NO_PORT, self.place)  # so that it is not said twice

    def _balancers_health(self, routers: list[Router]) -> Option | None:
        checks = (balancer.option.at("healthcheck") for balancer in self._balancers(routers))
        return next((check for check in checks if check is not None), None)

    def _may_run_twice(self) -> None:
        """Have what no label routes stopped first, if two of it would write to the same files."""
        app = self.made.app
        count = text_of(app["replicas"].node) if "replicas" in app else "1"
        if self.made.labelled.is_routed or count not in {"1", ""} or not self._writes():
            return
        app["rollout"] = Entry(
            self.place, table(self.place, {"strategy": word("recreate", self.place)})
        )
        said = (
            "the old version is stopped before the new one starts, for both would write to its "
            "volumes; remove this if two may"
        )
        self.made.notes.append(Note(self.place, "rollout", said, is_kept=True))

    def _writes(self) -> bool:
        volumes = self.made.app.get("volumes")
        for item in listed(volumes.node) if volumes is not None else ():
            if isinstance(item, Table):
                kind, is_read_only = text_of(below(item, "type")), text_of(below(item, "read_only"))
                if (
                    kind in {"bind", "volume"}
                    and "source" in item.entries
                    and is_read_only.lower() != "true"
                ):
                    return True
            elif (parts := text_of(item).split(":"))[1:] and "ro" not in parts[-1].split(","):
                return True
        return False
