"""Parameters of a notebook: read from its tagged cell, and checked before anything runs.

A notebook declares its parameters in its first code cell, tagged `parameters`, one a line:

    week: str = "latest"  # an ISO week such as 2026-W46, or latest

A name that is not declared there, a missing one, or a value of another type is refused: a runner
that only warned would render a report about the wrong week, or run a name as code.
"""

from __future__ import annotations

import ast
import json
import keyword
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from recon_kit.errors import ParameterError, nearest

Value: TypeAlias = "str | int | float | bool | Sequence[Value] | None"
TAG = "parameters"
_SCALARS: dict[str, type] = {"str": str, "int": int, "float": float, "bool": bool}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter: its type as written, its default, and its trailing comment."""

    name: str
    type: str
    default: Any
    required: bool
    help: str


def declared(notebook: Mapping[str, Any], name: str) -> dict[str, Parameter]:
    """What a notebook declares.

    Args:
        notebook: a notebook of format 4 as JSON or a notebook node.
        name: its name, for messages.

    Raises:
        ParameterError: the first code cell is not tagged, or holds anything but typed values.
    """
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    tagged = [cell for cell in code if TAG in cell.get("metadata", {}).get("tags", [])]
    if not tagged or tagged[0] is not code[0]:
        raise ParameterError(
            f"{name}: the first code cell is not tagged {TAG!r}, so values given to the notebook "
            "would be overwritten by its own; tag that cell"
        )
    if len(tagged) > 1:
        raise ParameterError(f"{name}: {len(tagged)} cells are tagged {TAG!r}; keep the first")
    source = "".join(code[0]["source"])
    try:
        tree = ast.parse(source)
    except SyntaxError as why:
        raise ParameterError(f"{name}: the parameters cell is not Python: {why.msg}") from None
    lines = source.splitlines()
    found = [_one(node, lines, name) for node in tree.body]
    return {parameter.name: parameter for parameter in found}


def checked(
    parameters: Mapping[str, Value], known: Mapping[str, Parameter], name: str
) -> dict[str, Any]:
    """The values to run with, each one declared and of its declared type.

    Args:
        parameters: what the caller gives, as typed values.
        known: what the notebook declares.
        name: the notebook's name, for messages.

    Raises:
        ParameterError: a name is unknown, a value is missing, of another type, or not JSON.
    """
    for given in parameters:
        usable = isinstance(given, str) and given.isidentifier() and not keyword.iskeyword(given)
        if not usable or given not in known:
            raise ParameterError(f"{name} has no parameter {given!r}; {nearest(given, known)}")
    for parameter in known.values():
        if parameter.required and parameter.name not in parameters:
            raise ParameterError(
                f"{name} needs the parameter {parameter.name!r} ({parameter.type}); "
                "it has no default"
            )
    for given, value in parameters.items():
        wanted = known[given].type
        if not _fits(value, ast.parse(wanted, mode="eval").body):
            raise ParameterError(
                f"{name}: parameter {given!r} must be {wanted}, not {type(value).__name__}"
            )
        try:
            json.dumps(value, allow_nan=False)
        except ValueError:
            raise ParameterError(f"{name}: parameter {given!r} has no JSON form") from None
    return dict(parameters)


def _one(node: ast.stmt, lines: Sequence[str], name: str) -> Parameter:
    """One line of the parameters cell."""
    text = lines[node.lineno - 1].strip()
    if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
        raise ParameterError(
            f"{name}: parameters cell, line {node.lineno}: {text!r} declares no typed parameter; "
            'write it as `week: str = "latest"  # what it means`'
        )
    kind, default = ast.unparse(node.annotation), None
    if node.value is not None:
        try:
            default = ast.literal_eval(node.value)
        except ValueError:
            raise ParameterError(
                f"{name}: the default of {node.target.id!r} is no plain value"
            ) from None
    if not _known_type(node.annotation):
        raise ParameterError(
            f"{name}: {node.target.id!r} is declared {kind!r}; use str, int, float, bool, "
            "a list of these, or one of them with `| None`"
        )
    if node.value is not None and not _fits(default, node.annotation):
        raise ParameterError(f"{name}: the default of {node.target.id!r} is no {kind}")
    comment = lines[(node.end_lineno or node.lineno) - 1][node.end_col_offset or 0 :]
    note = comment.partition("#")[2].strip()
    return Parameter(node.target.id, kind, default, node.value is None, note)


def _known_type(kind: ast.expr) -> bool:
    match kind:
        case ast.Name(id=name):
            return name in _SCALARS
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            return _known_type(left)
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return _known_type(inner)
    return False


def _fits(value: Any, kind: ast.expr) -> bool:
    """Whether a value is of a declared type; a bool is no int, an int is a float too."""
    match kind:
        case ast.Name(id="float"):
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case ast.Name(id="int"):
            return isinstance(value, int) and not isinstance(value, bool)
        case ast.Name(id=name):
            return isinstance(value, _SCALARS[name])
        case ast.BinOp(left=left):
            return value is None or _fits(value, left)
        case ast.Subscript(slice=inner):
            return isinstance(value, list) and all(_fits(item, inner) for item in value)
    return False
