"""Every way this package can fail, as one small family of exceptions.

An exception here is for misuse, a broken file, or a broken store. A problem in a row of data
is a value (a quarantined row, a finding, a case), never an exception. Each class builds its own
message, so that naming the failure writes the text: what was wrong, where, and what to do.
Messages carry row numbers and ids, never the values of a customer's row.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

# What stands in a row of data rather than in a header: numbers, dates, addresses of e-mail.
_VALUE = re.compile(r"^[-+#$]?[0-9][0-9.,:/ T+-]*$|^[^@\s]+@[^@\s]+$")
_NAME_SHOWN = 60  # characters of a name that a message shows
HEADLESS = "its first row seems to be data: is the header missing?"


def is_value(name: str) -> bool:
    """Whether what stands in a header is a value of data rather than a name."""
    return _VALUE.match(name) is not None


def nearest(name: str, known: Iterable[str], count_max: int = 3) -> str:
    """Say which known names come nearest to a name nobody knows, as the end of a sentence."""
    choices = sorted(set(known))
    close = difflib.get_close_matches(name, choices, n=count_max, cutoff=0.5)
    if close:
        return "did you mean " + " or ".join(repr(_short(c)) for c in close) + "?"
    return "known: " + listed(choices, 30) if choices else "nothing is declared yet"


def listed(names: Sequence[str], count_max: int = 12) -> str:
    """Names for a message, each cut to a readable length, and how many more there are.

    A file without a header has a row of data where names should be: what looks like an e-mail
    address is masked here, as a message goes into logs.
    """
    more = len(names) - count_max
    return ", ".join(map(_short, names[:count_max])) + (f" and {more:,} more" if more > 0 else "")


def _short(name: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in name[:400])
    text = re.sub(r"[^\s@]+@", "***@", text)
    text = re.sub(r"[0-9]{5,}(?=[0-9]{4})", "***", text)  # numbers of cards, accounts, phones
    return text if len(text) <= _NAME_SHOWN else text[: _NAME_SHOWN - 3] + "..."


class ReconError(Exception):
    """Base of every error that recon_kit raises on purpose."""


class SettingsError(ReconError):
    """`recon.toml` cannot be read or does not make sense."""


class UnknownNameError(ReconError):
    """A source, reconciliation, feed or similar was asked for that is not declared.

    `otherwise` ends the sentence in place of known names, where there are too many to list.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], otherwise: str = "") -> None:
        super().__init__(f"no {kind} is called {name!r}; {otherwise or nearest(name, known)}")
        self.kind, self.name = kind, name


class WorkspaceError(ReconError):
    """The folder is not a workspace, or not one that this version can use."""


class FileRejectedError(ReconError):
    """A file was refused as a whole; nothing of it was committed.

    `code` is a stable short name for tests and machines, `remedy` is the way out.
    """

    def __init__(self, file: str, code: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {problem} [{code}]. {remedy} Nothing was committed.")
        self.file, self.code = file, code


class MissingColumnError(FileRejectedError):
    """A column that the feed needs is not in the file's header."""

    def __init__(self, file: str, missing: Sequence[str], present: Sequence[str]) -> None:
        close = {m: difflib.get_close_matches(m, present, n=3, cutoff=0.5) for m in missing}
        hints = [f"{name!r}: {nearest(name, near)}" for name, near in close.items() if near]
        if len(hints) < len(missing):
            headless = sum(map(is_value, present)) > len(present) // 3
            hints.append(HEADLESS if headless else f"it names {listed(present)}")
        super().__init__(
            file,
            "missing_column",
            f"the header lacks {', '.join(repr(m) for m in missing)} ({'; '.join(hints)})",
            "Export the file with these columns; where the source has a layout, "
            "[sources.layout.columns] may name the new spelling, and `id_fields` what tells rows "
            "without an id of their own apart.",
        )
        self.missing = tuple(missing)


class MoneyError(ReconError):
    """An amount or a currency was misused by code (amounts in files are quarantined instead)."""


class LedgerError(ReconError):
    """The store cannot be used safely."""


class StoreBusyError(LedgerError):
    """Another process holds the writer lock."""


class CorruptStoreError(LedgerError):
    """Bytes or rows of the store are not what was committed."""


class CountsDoNotTieError(LedgerError):
    """The records of a file do not add up to where they went; the batch was not committed."""


class MatchingError(ReconError):
    """A reconciliation cannot be run as it is declared."""


class ReportError(ReconError):
    """A report could not be rendered; the last good one is still in place."""


class ParameterError(ReportError):
    """A report parameter is unknown, missing or of the wrong type."""


class LabelError(ReconError):
    """A file of labels cannot be read as labels."""


class DecisionRefusedError(ReconError):
    """A decision was not recorded; the message says what it lacks or contradicts."""


class LeaseHeldError(DecisionRefusedError):
    """Another person is at work on this item."""

    def __init__(self, subject: str, holder: str, until: str) -> None:
        super().__init__(
            f"{holder} is at work on {subject} until {until}; wait, or ask {holder} to release it. "
            "Nothing was recorded."
        )
        self.subject, self.holder = subject, holder


class StaleClaimError(DecisionRefusedError):
    """A decision came with a claim that somebody else has taken over since."""

    def __init__(self, subject: str, token: int, holder: str, current: int) -> None:
        super().__init__(
            f"the claim {token} on {subject} ran out and {holder} has claimed it since (claim "
            f"{current}); look at it again and claim it anew. Nothing was recorded."
        )
        self.subject, self.holder = subject, holder


class CertificationError(ReconError):
    """A threshold cannot be certified now; the message says what is missing."""


class GovernanceError(ReconError):
    """A change was not approved, promoted or rolled back; the message says what is missing."""
