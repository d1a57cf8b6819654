"""Tokens: bearer tokens that an account gives to programs."""

from collections.abc import Iterator

from ledger.domain.commands.tokens import IssueToken, RemoveTokens
from ledger.domain.context import AddToken, Change, DropTokens, Environment, Fact, State
from ledger.domain.events.tokens import TokenRemoved, token_stream


def issue_token(command: IssueToken, state: State, environment: Environment) -> Iterator[Change]:
    yield Fact(token_stream(command.token), command.issued)
    yield AddToken(
        command.token,
        command.token_hash,
        command.issued,
        command.created,
        command.password_version,
    )


def remove_tokens(
    command: RemoveTokens, state: State, environment: Environment
) -> Iterator[Change]:
    """Remove tokens of an account; those that are removed already stay so."""
    for token in command.tokens:
        known = state.token(token)
        if known is None or known.removed is None:
            yield Fact(token_stream(token), TokenRemoved(command.owner))
    yield DropTokens(command.owner, command.tokens, command.removed)
