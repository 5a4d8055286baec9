"""Objects of which exactly one field is there: how the public JSON names a kind of thing."""

from __future__ import annotations

from typing import ClassVar

import msgspec
from msgspec import UNSET


class OneOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of such objects: `{"Url": …}` or `{"LocalToAgent": …}`.

    Every field of a subclass is `… | UnsetType = UNSET`; making one with none or
    several set is a ValueError. `SUBJECT` begins what it says.
    """

    SUBJECT: ClassVar[str] = "this is"

    def __post_init__(self) -> None:
        n_set = sum(getattr(self, field) is not UNSET for field in self.__struct_fields__)
        if n_set != 1:
            names = ", ".join(f"`{name}`" for name in self.__struct_encode_fields__)
            raise ValueError(f"{self.SUBJECT} an object with exactly one of {names}")
