"""Who decides: a name for attribution, never proof of who sat at the keyboard."""

from __future__ import annotations

import getpass
import os
from collections.abc import Mapping

from recon_kit.errors import DecisionRefusedError
from recon_kit.settings import Workspace

VARIABLE = "RECON_REVIEWER"


def reviewer_name(
    workspace: Workspace, given: str | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """The name that a decision or approval is recorded under.

    Args:
        workspace: its `reviewer`, where one is set in `recon.toml`.
        given: a name that the caller insists on; it goes before all others.
        environment: where `RECON_REVIEWER` is looked up; the process's where not given.

    Returns:
        The given name, else `RECON_REVIEWER`, else the workspace's reviewer, else the user of the
        operating system. Whoever may write the store may claim any name: this is attribution, not
        authentication.

    Raises:
        DecisionRefusedError: there is no name at all.
    """
    known = os.environ if environment is None else environment
    for name in (given, known.get(VARIABLE), workspace.reviewer):
        if name is not None and name.strip():
            return name.strip()
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise DecisionRefusedError(
            f"nobody says who decides; set {VARIABLE}, or reviewer in [workspace] of recon.toml. "
            "Nothing was recorded."
        ) from None
