"""What others started and an app takes over, as it is written in the desired state.

Apart from the schema because it says nothing of the replicas: it is about what was there before.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from traefik_bg.adapters.desired_mapping import Strict
from traefik_bg.adapters.desired_tree import Scalar
from traefik_bg.adapters.desired_values import (
    Between,
    Text,
    TextOrTexts,
    contradiction,
    mistake,
)
from traefik_bg.core.model import Adoption

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+")  # what Docker takes as a container's name


def _names(names: list[str]) -> list[str]:
    for index, name in enumerate(names):
        if _NAME.fullmatch(name) is None:
            raise mistake(f'"{name}" is not the name of a container, such as shop-web-1', index)
    return names


class AdoptSettings(Strict):
    """Containers that serve the app until its first deployment is over."""

    project: Text | None = None
    service: Text | None = None
    container: Annotated[TextOrTexts, AfterValidator(_names)] = Field(default_factory=list)
    moved: TextOrTexts = Field(default_factory=list)
    port: Annotated[int, Between(1, 65535, "a port from 1 to 65535")] | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"container": value} if isinstance(value, Scalar) else value

    @model_validator(mode="after")
    def _means_something(self) -> Self:
        if (self.project is None) != (self.service is None):
            raise contradiction(
                "Compose's containers are found by project and service: write both, such as "
                "{project: shop, service: web}"
            )
        if self.project is None and not self.container:
            raise contradiction(
                "needs {project: shop, service: web} for what Compose runs, or container: its name"
            )
        return self

    @property
    def adoption(self) -> Adoption:
        """What the core is told."""
        return Adoption(
            project=self.project or "",
            service=self.service or "",
            containers=tuple(sorted(set(self.container))),
            port=self.port,
            moved=tuple(sorted(set(self.moved))),
        )
