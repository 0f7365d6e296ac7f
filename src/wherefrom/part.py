"""Parts of a study file: frozen, checked, and of a kind where a table has several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from wherefrom.errors import WherefromError
from wherefrom.keys import canonical
from wherefrom.plugins import Group, kind, kinds

__all__ = ["OfKind", "Part"]


class Part(BaseModel):
    """A frozen part of a study file; unknown keys and endless numbers are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, str_strip_whitespace=True
    )

    @classmethod
    def first_line(cls) -> str:
        """Return the first line of the docstring."""
        return (cls.__doc__ or "").strip().split("\n")[0]


@dataclass(frozen=True)
class OfKind:
    """Annotates a field whose class, derived from `base`, its key ``kind`` chooses from a table."""

    group: Group
    base: type[Part]

    def chosen(self, value: Any) -> type[Part]:
        """Return the class that a mapping with a key ``kind`` is to be read by.

        Raises
        ------
        WherefromError
            If there is no such kind, or it cannot be imported.
        PydanticCustomError
            If the value is no mapping with a key ``kind``.
        """
        if not isinstance(value, dict):
            raise PydanticCustomError("no_mapping", "must hold keys and values")
        if "kind" not in value:
            known = " or ".join(kinds(self.group))
            raise PydanticCustomError("no_kind", "needs a key 'kind': {known}", {"known": known})
        found = kind(self.group, value["kind"], "kind")
        loaded = found.load()
        if isinstance(loaded, type) and issubclass(loaded, self.base):
            return loaded
        raise WherefromError(
            f"kind {found.name!r} ({found.address}) is no class derived from "
            f"{self.base.__module__}.{self.base.__qualname__}: see docs/extending.md"
        )

    def read(self, value: Any) -> Part:
        """Make the part of a mapping; one that is made already stays as it is."""
        if isinstance(value, self.base):
            return value
        try:
            chosen = self.chosen(value)
        except WherefromError as err:
            raise ValueError(str(err)) from err
        try:
            part = chosen.model_validate(value)
        except TypeError as err:  # a class that lacks a method
            raise ValueError(f"kind {value['kind']!r}: {err}") from err
        try:
            canonical(part.model_dump())
        except (TypeError, ValueError) as err:
            raise ValueError(
                f"kind {value['kind']!r} has a field that is no plain value ({err}): use numbers, "
                "text, lists and mappings of text"
            ) from err
        return part

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Read by the class of the kind, and write all of its fields."""
        return core_schema.no_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda part, info: part.model_dump(mode=info.mode), info_arg=True
            ),
        )
