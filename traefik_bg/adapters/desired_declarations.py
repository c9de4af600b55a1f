"""What can be said of a volume, a network, a secret or a config that a file declares.

Apart from their use because these four are Compose's own sections, beside the apps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import model_validator

from traefik_bg.adapters.desired_mapping import Composed, NoEffect
from traefik_bg.adapters.desired_values import Pairs, Switch, Text, Word, mistake


class VolumeDeclaration(Composed):
    """Which Docker volume a name means, and how Docker makes it when it is not there."""

    name: Text | None = None
    external: Switch = False
    driver: Text | None = None
    driver_opts: Pairs | None = None
    labels: Pairs | None = None
    exclusive: Switch = False

    @model_validator(mode="after")
    def _is_made_by_one(self) -> Self:
        if self.external and (self.driver or self.driver_opts or self.labels):
            raise mistake(
                "an external volume is made by somebody else: name is all that can be said"
            )
        return self


class NetworkDeclaration(Composed):
    """Which Docker network a name means."""

    name: Text | None = None
    external: Switch = False


class SecretDeclaration(Composed):
    """Where a secret comes from."""

    file: Text | None = None
    environment: Text | None = None
    labels: NoEffect = None
    name: NoEffect = None

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        sources = {key: getattr(self, key, None) for key in ("file", "environment", "content")}
        if sum(found is not None for found in sources.values()) != 1:
            known = ", ".join(key for key in sources if key in type(self).model_fields)
            raise mistake(f"needs exactly one of {known}")
        return self


class ConfigDeclaration(SecretDeclaration):
    """Where a config comes from."""

    content: Word | None = None


MODELS: Mapping[str, type[Composed]] = {
    "volumes": VolumeDeclaration,
    "networks": NetworkDeclaration,
    "secrets": SecretDeclaration,
    "configs": ConfigDeclaration,
}
