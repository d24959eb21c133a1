"""Mask, escape, quote: the one place for each, so that no other room does it by hand."""

from __future__ import annotations


def quote_ident(name: str) -> str:
    """A SQL identifier, quoted so that no name can end it early."""
    if "\x00" in name:
        raise ValueError("an identifier cannot hold a NUL character")
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A SQL text literal, for the few places where a statement takes no parameters (COPY, SET)."""
    if "\x00" in text:
        raise ValueError("a SQL text cannot hold a NUL character")
    return "'" + text.replace("'", "''") + "'"
