"""How the values of a proposed `[[sources]]` block are written as TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping

OWNER = '# owner = "finance"  # who answers for it; its cases go there'


def source_name(file: str) -> str:
    """A source's name from its file's: without dates and counters at its end."""
    stem = file.split(".", maxsplit=1)[0].casefold()
    name = re.sub(r"[^a-z0-9]+", "_", stem).strip("_")
    name = re.sub(r"(_?[0-9]+)+$", "", name) or "source"
    return name if name[0].isalpha() else f"source_{name}"


def quoted(value: str) -> str:
    """A TOML text: literal where it can be, else a basic string with escapes."""
    if "\\" in value and "'" not in value and value.isprintable():
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    shown = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped)
    return f'"{shown}"'


def types_line(column: str, kinds: Mapping[str, str]) -> str:
    """The column that says what each row is; every word of it that was seen."""
    pairs = ", ".join(f"{quoted(word)} = {quoted(kind)}" for word, kind in kinds.items())
    where = f"names = [{quoted(column)}], map = {{ {pairs} }}"
    return f"event_type = {{ {where} }}  # check what each word means"
