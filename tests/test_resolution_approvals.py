"""Who may let a change come into force."""

from __future__ import annotations

import pytest
from ledger_kit import complete

from recon_kit import settings
from recon_kit.errors import GovernanceError, SettingsError
from recon_kit.ledger.tables import TABLES
from recon_kit.resolution.approvals import approved, role_for

TOML = """
[workspace]
name = "acme"
[governance.roles]
data_owner = ["ana", "dee"]
operations_lead = ["bo"]
governance_reviewer = ["cy", "bo"]
"""
ASKED = settings.loads(TOML).governance


def words(*said):
    """Rows of `approvals` on content `h1`: `person, verdict, role`."""
    rows = [
        {"seq": i, "content_hash": "h1", "kind": "certificate", "approver": person,
         "verdict": verdict, "role": role}
        for i, (person, verdict, role) in enumerate(said, 1)
    ]  # fmt: skip
    return complete(rows, TABLES["approvals"].columns)


PROPOSED = ("ana", "proposed", None)
BO = ("bo", "approved", "operations_lead")
CY = ("cy", "approved", "governance_reviewer")
DEE = ("dee", "approved", "data_owner")


def test_every_role_must_approve_and_who_is_missing_is_named():
    """Three roles, three people; the screen says who is asked."""
    assert approved(words(), ASKED, "h1").state == "not_proposed"
    half = approved(words(PROPOSED, BO), ASKED, "h1")
    assert (half.state, half.missing) == ("waiting", ("data_owner", "governance_reviewer"))
    assert half.said == "waits for data owner (dee), governance reviewer (cy or bo)"
    done = approved(words(PROPOSED, BO, CY, DEE), ASKED, "h1")
    assert (done.state, done.missing, done.author) == ("approved", (), "ana")
    assert (
        done.said == "approved by bo (operations lead), cy (governance reviewer), dee (data owner)"
    )


def test_an_edit_voids_what_was_said_of_the_old_text():
    """Approvals name a hash; another content has another one."""
    assert approved(words(PROPOSED, BO, CY, DEE), ASKED, "h2").state == "not_proposed"


def test_the_author_and_a_second_hat_do_not_count():
    """Ana proposed it, so her word as data owner is none; Bo cannot approve for two roles."""
    own = ("ana", "approved", "data_owner")
    twice = ("bo", "approved", "governance_reviewer")

    assert approved(words(PROPOSED, BO, CY, own), ASKED, "h1").missing == ("data_owner",)
    assert approved(words(PROPOSED, BO, twice, DEE), ASKED, "h1").missing == (
        "governance_reviewer",
    )
    assert approved(words(PROPOSED, ("eve", "approved", "data_owner")), ASKED, "h1").given == {}


def test_one_rejection_stands_until_its_giver_approves():
    """All others approving does not outvote it."""
    no = ("cy", "rejected", "governance_reviewer")

    assert approved(words(PROPOSED, BO, no, DEE), ASKED, "h1").said == "rejected by cy"
    assert approved(words(PROPOSED, BO, no, DEE, CY), ASKED, "h1").state == "approved"


@pytest.mark.parametrize(
    ("said", "person", "role", "message"),
    [
        ((), "bo", None, "h1 was not proposed; `recon promote` proposes it"),
        ((PROPOSED,), "ana", None, "ana proposed h1 and cannot approve it"),
        ((PROPOSED,), "eve", None, "eve does not hold any role that must approve"),
        ((PROPOSED,), "cy", "data_owner", "cy does not hold data_owner; .governance.roles. in"),
        ((PROPOSED,), "cy", "data_ower", "no approval is asked of 'data_ower'; did you mean"),
    ],
)
def test_who_may_not_speak_is_told_why(said, person, role, message):
    """Nothing is recorded for somebody who may not."""
    with pytest.raises(GovernanceError, match=message):
        role_for(words(*said), ASKED, "h1", person, role)


def test_a_person_with_two_roles_speaks_for_the_one_that_is_missing():
    """Bo is the only operations lead; where that is given he speaks as governance reviewer."""
    assert role_for(words(PROPOSED), ASKED, "h1", "bo", None) == "operations_lead"
    given = ("bob", "approved", "operations_lead")
    two = ASKED.model_copy(update={"roles": {**ASKED.roles, "operations_lead": ("bo", "bob")}})
    assert role_for(words(PROPOSED, given), two, "h1", "bo", None) == "governance_reviewer"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[governance.roles]\ndata_ower = ['ana']", "did you mean 'data_owner'"),
        ("[governance.roles]\ndata_owner = []", "'data_owner' needs at least one name"),
        ("[governance]\napprovals = []", "list at least one role, and none twice"),
        ("[costs]\nhour = '-1'", "hour is -1; a cost is never negative"),
    ],
)
def test_roles_and_costs_are_checked_when_settings_are_read(text, message):
    """A wrong word names the right one."""
    with pytest.raises(SettingsError, match=message):
        settings.loads('[workspace]\nname = "acme"\n' + text)
