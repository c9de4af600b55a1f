"""What every mapping of a desired file has in common: unknown keys are mistakes.

Separate from the schema because both its halves, ours and Compose's, are made of these two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from traefik_bg.adapters.desired_tree import Kind, Scalar, is_note


class Strict(BaseModel):
    """A mapping in which every key must be known, but for the user's own x-… ones."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, json_schema_extra={"patternProperties": {"^x-": {}}}
    )

    @model_validator(mode="before")
    @classmethod
    def _without_notes(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {key: item for key, item in value.items() if not is_note(key)}


class Composed(Strict):
    """A mapping of Compose's, in which a key without a value counts as absent."""

    own_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys that are not Compose's, so that leaving one empty is a mistake."""

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {
            key: item for key, item in value.items() if key in cls.own_keys or not is_empty(item)
        }


def is_empty(value: Any) -> bool:
    """Tell whether a key has been left without a value."""
    return isinstance(value, Scalar) and value.kind is Kind.EMPTY


NoEffect = Annotated[
    Any, Field(exclude=True), WithJsonSchema({"description": "without effect here"})
]
"""A key of Compose's that says nothing here: taken, warned of, and then forgotten."""


def has_no_effect(model: type[BaseModel], key: str) -> bool:
    """Tell whether a key of a mapping is one of those."""
    return bool(model.model_fields[key].exclude)
