"""The schema of hooks: what an app runs once in each of its deployments.

Apart from the schema of an app because it is a question of its own; pydantic stands at this door as
at the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from traefik_bg.adapters.desired_mapping import Strict
from traefik_bg.adapters.desired_values import AlsoAs, OrOff, PositiveSeconds, Words, mistake


def _filled(command: list[str]) -> list[str]:
    if not command or not command[0].strip():
        raise mistake("is empty: write a command such as [./manage.py, migrate]")
    return command


class HookSettings(Strict):
    """A command that runs in a container of its own, of the new image."""

    command: Annotated[Words, AfterValidator(_filled)] = Field(
        description="what to run, such as [./manage.py, migrate]"
    )
    timeout: PositiveSeconds = 600.0

    @model_validator(mode="before")
    @classmethod
    def _from_command(cls, value: Any) -> Any:
        return value if isinstance(value, Mapping) else {"command": value}


_Hook = Annotated[HookSettings | None, OrOff(), AlsoAs("string", "array", of="string")]


class HooksSettings(Strict):
    """What runs once in a deployment, and when."""

    before: _Hook = None
    after_cutover: _Hook = None
