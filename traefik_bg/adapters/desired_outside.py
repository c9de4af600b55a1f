"""Brings in what an app's settings take from elsewhere: env files, label files, the environment.

Apart from the schema because these are the settings that cannot be had from the desired file
alone. What has been brought in is part of the spec: a change in one of those files is a new
revision.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic_core import PydanticCustomError

from traefik_bg.adapters.compose_keys import SERVICE, Standing
from traefik_bg.adapters.desired_container import checked_labels
from traefik_bg.adapters.desired_documents import Documents
from traefik_bg.adapters.desired_rules import Finding
from traefik_bg.adapters.desired_schema import AppSettings
from traefik_bg.adapters.desired_tree import Entry, Items, Keys, Node, Place, Table, locate
from traefik_bg.core.model import canonical_json

_BUILT_IN = frozenset({"", "unconfined", "builtin"})


class Outside:
    """What is brought into apps from beside the desired state."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def brought(self, app: AppSettings, entry: Entry) -> AppSettings:
        """Return the app with all that its files and variables say."""
        return app.model_copy(
            update={
                "environment": self._environment(app, entry),
                "labels": self._labels(app, entry),
                "security_opt": self._security(app, entry),
            }
        )

    def _environment(self, app: AppSettings, entry: Entry) -> dict[str, str]:
        made: dict[str, str] = {}
        for index, file in enumerate(app.env_file):
            place = locate(entry, ("env_file", index))
            made |= self._documents.values_of(
                place,
                self._documents.beside(place, file.path),
                is_raw=file.format == "raw",
                is_required=file.required,
            )
        for variable, value in (app.environment or {}).items():
            found = self._documents.variables.get(variable) if value is None else value
            if found is None:
                place = locate(entry, ("environment", variable))
                self._documents.warnings.append(
                    f"{place.file}:{place.line}: {place.key}: has no value and is not set outside; "
                    "the container gets no such variable"
                )
            else:
                made[variable] = found
        return made

    def _labels(self, app: AppSettings, entry: Entry) -> dict[str, str]:
        made: dict[str, str] = {}
        for index, path in enumerate(app.label_file):
            place = locate(entry, ("label_file", index))
            found = self._documents.values_of(place, self._documents.beside(place, path))
            try:
                made |= checked_labels(dict(found))
            except PydanticCustomError as error:
                self._documents.mistakes.append(place.mistake(f"{path}: {error.message()}"))
        return made | (app.labels or {})

    # --- seccomp ----------------------------------------------------------------------------------

    def _security(self, app: AppSettings, entry: Entry) -> list[str]:
        """Return the options with each seccomp profile as Docker's API wants it: its text."""
        return [
            self._with_profile(option, locate(entry, ("security_opt", index)))
            for index, option in enumerate(app.security_opt or ())
        ]

    def _with_profile(self, option: str, place: Place) -> str:
        name, _, path = option.replace(":", "=", 1).partition("=")
        if name != "seccomp" or path in _BUILT_IN or path.lstrip().startswith("{"):
            return option
        held = self._documents.bytes_of(place, self._documents.beside(place, path))
        if held is None:
            return option
        try:
            return f"seccomp={canonical_json(json.loads(held))}"
        except ValueError:  # not JSON, or not even text
            self._documents.mistakes.append(place.mistake(f"{path} is no seccomp profile in JSON"))
            return option


# --- what says nothing ----------------------------------------------------------------------------


def without_effect(app: Node) -> Iterator[Finding]:
    """Return what stands in an app and says nothing here."""
    for key, row in SERVICE.items():
        if row.standing is Standing.MEANINGLESS:
            for keys in _paths(app, key.split("."), ()):
                yield Finding(keys, f"has no effect here: {row.note}")


def _paths(node: Node, below: list[str], keys: Keys) -> Iterator[Keys]:
    if not below:
        yield keys
        return
    match node:
        case Table(entries=entries):
            for name, entry in entries.items():
                if below[0] in {"*", name}:
                    yield from _paths(entry.node, below[1:], (*keys, name))
        case Items(items=items):
            for index, item in enumerate(items):
                yield from _paths(item, below, (*keys, index))
        case _:
            pass
