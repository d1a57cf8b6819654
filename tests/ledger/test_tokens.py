"""Tokens: what is recorded of them, and what is only stored beside the ledger."""

from ledger.codec import encode
from ledger.domain.commands.tokens import IssueToken, RemoveTokens
from ledger.domain.context import AddToken, DropTokens, Fact
from ledger.domain.events import Recorded
from ledger.domain.events.tokens import TokenIssued, TokenRemoved
from tests.support.deciding import given
from tests.support.world import ME, START

ISSUED = TokenIssued(ME, "nas", ("jobs:register",), ("labels.env=prod",), "//nas")
ISSUE = IssueToken("t", b"its hash", ISSUED, START, 3)


def test_a_token_is_issued() -> None:
    """Its hash is stored beside the ledger, in the same transaction."""
    given().when(ISSUE).then(Fact("token-t", ISSUED), AddToken("t", b"its hash", ISSUED, START, 3))
    stored = encode("token-t", 1, Recorded(START, ME, "r", ISSUED))
    assert b"hash" not in stored.state


def test_tokens_are_removed() -> None:
    """One that is removed already stays so, and one of an earlier version was never issued."""
    command = RemoveTokens(ME, ("t", "early"), START)
    given(ISSUE).when(command).then(
        Fact("token-t", TokenRemoved(ME)),
        Fact("token-early", TokenRemoved(ME)),
        DropTokens(ME, ("t", "early"), START),
    )
    given(ISSUE, command).when(command).then(DropTokens(ME, ("t", "early"), START))
