"""What one value of `recon.toml` may be: a time, a name, an exact number, a zone, a share.

Each type refuses what cannot be meant, in a sentence with a value that would do. `settings` says
where in the file they stand.
"""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from recon_kit.errors import nearest

_DURATION = re.compile(r"^(\d+)(bd|bh|d|h|m)$")
DurationUnit = Literal["bd", "bh", "d", "h", "m"]


class Frozen(BaseModel):
    """A declared table: it does not change, and a key that it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, populate_by_name=True)


class Duration(Frozen):
    """A length of time as written: `5bd` business days, `2d` calendar days, `4bh`, `12h`, `30m`."""

    count: int
    unit: DurationUnit

    def __str__(self) -> str:
        return f"{self.count}{self.unit}"


def parse_duration(text: object) -> Duration:
    """`"5bd"` -> `Duration(5, "bd")`; anything else raises ValueError with the accepted forms."""
    if isinstance(text, Duration):
        return text
    found = _DURATION.match(text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{text!r} is no duration; write 5bd, 2d, 4bh, 12h or 30m")
    unit: Any = found[2]
    return Duration(count=int(found[1]), unit=unit)


def _some_time(value: Duration) -> Duration:
    if value.count == 0:
        raise ValueError(f"{str(value)!r} is no time at all; write one such as 1d, 4bh or 30m")
    return value


def _due(value: Duration) -> Duration:
    if value.count == 0 and value.unit != "bd":
        raise ValueError(
            f"{str(value)!r} would make everything late at once; write 0bd for the end of the "
            "same day, or a longer time"
        )
    return value


def _name(value: str) -> str:
    if not value.strip():
        raise ValueError("a blank name is nobody; name a person or a team, or leave the line out")
    return value


def _exact_decimal(value: object) -> Decimal:
    if isinstance(value, (str, int, Decimal)):
        with suppress(InvalidOperation):
            number = Decimal(value)
            if number.is_finite():
                return number
        raise ValueError(f'{value!r} is no number; write one such as "0.5"')
    raise ValueError('write it as text, such as "0.5", so that it stays exact')


def _zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no IANA time zone; {nearest(value, available_timezones())}")
    return value


DurationField = Annotated[Duration, BeforeValidator(parse_duration)]
SomeTime = Annotated[Duration, BeforeValidator(parse_duration), AfterValidator(_some_time)]
DueTime = Annotated[Duration, BeforeValidator(parse_duration), AfterValidator(_due)]
Name = Annotated[str, AfterValidator(_name)]
ExactDecimal = Annotated[Decimal, BeforeValidator(_exact_decimal)]
Zone = Annotated[str, BeforeValidator(_zone)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
