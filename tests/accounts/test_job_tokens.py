"""The tokens of jobs: derived from a key, the job, its attempt and the process that makes it."""

from datetime import timedelta
from hashlib import sha256

import pytest

from api.accounts.account import TokenOver
from api.accounts.grants import JOB_SCOPES, OVER_SCOPES, Grant, JobClaim
from api.accounts.job_tokens import ChangedJustNow, JobTokens
from api.accounts.service import Account, Accounts, LoginRefused
from ledger.domain.aggregates.job import Job
from ledger.domain.errors.jobs import JobNotFound
from ledger.domain.errors.producers import AttemptReplaced
from ledger.domain.events.producers import Holder
from ledger.domain.producers.commands import EndJob, RegisterJob
from ledger.store.tables import job_token_keys
from ledger.store.writer import Caller
from tests.accounts.calling import HERE, PASSWORD
from tests.accounts.clocks import Wall
from tests.accounts.conftest import OpenAccounts
from tests.support.producing import DONE, registered

JOB = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"
ONE, OTHER = (sha256(text).hexdigest() for text in (b"one", b"other"))


@pytest.fixture
async def ada(accounts: Accounts) -> Account:
    return await accounts.add("ada@example.test", PASSWORD)


def job_of(accounts: Accounts) -> Job:
    job = accounts._tables._ledger.job(JOB)
    assert job is not None
    return job


async def register(accounts: Accounts, owner: Account, token: str | None = None) -> None:
    """Register the job, as the process that drew one instance, by a token."""
    command = RegisterJob(
        owner.uuid, JOB, "backup", registered(), holder=Holder(ONE, token), chosen=True
    )
    await do(accounts, command)


async def do(accounts: Accounts, command: RegisterJob | EndJob) -> None:
    await accounts._tables._ledger.execute(command, Caller("producer", ""))


async def grant_of(accounts: Accounts, token: str) -> Grant:
    return await accounts.grant_of(f"Bearer {token}", HERE)


async def test_the_same_is_told_the_same_token(open_accounts: OpenAccounts) -> None:
    """Also by the next start: nothing is stored but the key. Each part makes another token."""
    async with open_accounts() as accounts:
        first = await accounts.job_token(JOB, 1, ONE)
        others = {
            await accounts.job_token(*claim)
            for claim in ((JOB, 2, ONE), (JOB, 1, OTHER), (JOB.replace("5", "6"), 1, ONE))
        }
        assert len(others | {first}) == 4
        assert first.startswith(f"jlj_{JOB}.1.")
    async with open_accounts() as accounts:
        assert await accounts.job_token(JOB, 1, ONE) == first
        assert await accounts.tokens.of_jobs.read(first) == JobClaim(JOB, 1, ONE)


async def test_nobody_else_makes_one(accounts: Accounts) -> None:
    """Whatever is changed of a token, it is none; nor is one by the key of another ledger."""
    token = await accounts.job_token(JOB, 1, ONE)
    tokens = accounts.tokens.of_jobs
    for at in range(len(token)):
        changed = token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :]
        assert await tokens.read(changed) is None, at
    others = (f"{token}x", token[:-1], token.replace(".1.", ".01."), "jlj_", "jlj_..", "\ud800")
    for wrong in others:
        assert await tokens.read(wrong) is None


async def test_a_changed_key_ends_no_token_at_once(accounts: Accounts, wall: Wall) -> None:
    """Only those by the key before the last do; and a node that has not noticed signs well."""
    tokens = accounts.tokens.of_jobs
    other_node = JobTokens(accounts._tables, wall)
    first = await other_node.make(JOB, 1, ONE)
    with pytest.raises(ChangedJustNow):
        await tokens.change_key()
    wall.move(timedelta(hours=1))
    assert await tokens.change_key() == 2
    second = await tokens.make(JOB, 1, ONE)
    assert second != first
    for token in (first, second):
        assert await other_node.read(token) == JobClaim(JOB, 1, ONE)
    wall.move(timedelta(hours=1))
    assert await tokens.change_key() == 3
    assert await other_node.make(JOB, 1, ONE) == await tokens.make(JOB, 1, ONE)
    assert [await other_node.read(token) for token in (first, second)] == [None, (JOB, 1, ONE)]
    kept = await accounts._tables.read(job_token_keys.every)
    assert [key.number for key in kept] == [3, 2]


async def test_what_it_may_do(accounts: Accounts, ada: Account) -> None:
    """Things of its own job, within the restrictors of the token that it came from."""
    came_from = await accounts.tokens.add(
        ada.email, "nas", scopes=("jobs:register",), restrictors=("labels.env=prod",)
    )
    await register(accounts, ada, came_from.id)
    grant = await grant_of(accounts, await accounts.job_token(JOB, 1, ONE))
    assert (grant.account, grant.token) == (ada, came_from.id)
    assert grant.job == JobClaim(JOB, 1, ONE)
    assert (grant.scopes, grant.scoped) == (JOB_SCOPES, True)
    assert (grant.restrictors.texts(), grant.source) == (("labels.env=prod",), "//nas")


async def test_it_ends_with_the_removal_of_the_token_it_came_from(
    accounts: Accounts, ada: Account
) -> None:
    """Whether it is remembered or looked up, and nobody guesses who still has it."""
    came_from = await accounts.tokens.add(ada.email, "nas", scopes=("jobs:register",))
    await register(accounts, ada, came_from.id)
    token = await accounts.job_token(JOB, 1, ONE)
    assert await grant_of(accounts, token)
    await accounts.tokens.remove(came_from.id)
    for refused in (token, came_from.token):
        with pytest.raises(TokenOver, match="removed"):
            await grant_of(accounts, refused)


async def test_it_outlives_a_token_that_expired(
    accounts: Accounts, ada: Account, wall: Wall
) -> None:
    """For thirty days at most."""
    came_from = await accounts.tokens.add(
        ada.email, "nas", scopes=("jobs:register",), expires=wall() + timedelta(hours=1)
    )
    await register(accounts, ada, came_from.id)
    token = await accounts.job_token(JOB, 1, ONE)
    wall.move(timedelta(hours=1))
    with pytest.raises(TokenOver, match="expired"):
        await grant_of(accounts, came_from.token)
    assert await grant_of(accounts, token)
    wall.move(timedelta(days=30))
    with pytest.raises(TokenOver, match="expired"):
        await grant_of(accounts, token)


async def test_after_the_end_it_hears_of_it(accounts: Accounts, ada: Account) -> None:
    """It may repeat the end and be told, for thirty days, and do nothing else."""
    await register(accounts, ada)
    token = await accounts.job_token(JOB, 1, ONE)
    await do(accounts, EndJob(JOB, 1, DONE))
    assert (await grant_of(accounts, token)).scopes == OVER_SCOPES


async def test_thirty_days_after_the_end_it_is_over(
    accounts: Accounts, ada: Account, wall: Wall
) -> None:
    await register(accounts, ada)
    token = await accounts.job_token(JOB, 1, ONE)
    await do(accounts, EndJob(JOB, 1, DONE))
    ended = job_of(accounts).ended
    assert ended is not None
    wall.at = ended + timedelta(days=30)
    with pytest.raises(TokenOver, match="ended"):
        await grant_of(accounts, token)


async def test_a_good_token_of_an_unknown_job_is_told_so(accounts: Accounts) -> None:
    """After a restore, a process registers again, and does not give up as if it were refused."""
    with pytest.raises(JobNotFound):
        await grant_of(accounts, await accounts.job_token(JOB, 1, ONE))


async def test_a_token_names_its_process(accounts: Accounts, ada: Account) -> None:
    """After a restore another process may make the attempt of the same number."""
    await register(accounts, ada)
    produced = job_of(accounts).produced
    assert produced is not None
    own = await grant_of(accounts, await accounts.job_token(JOB, 1, ONE))
    assert own.attempt_of(JOB, produced, None) == 1
    assert own.attempt_of(JOB, produced, 1) == 1
    newer = await grant_of(accounts, await accounts.job_token(JOB, 2, OTHER))
    assert newer.attempt_of(JOB, produced, None) == 2
    replaced = await grant_of(accounts, await accounts.job_token(JOB, 1, OTHER))
    for grant, said in ((replaced, None), (own, 2)):
        with pytest.raises(AttemptReplaced):
            grant.attempt_of(JOB, produced, said)


async def test_only_what_never_was_a_token_counts_as_a_guess(
    accounts: Accounts, ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A removed or expired one is known for thirty days."""
    guesses: list[str] = []
    monkeypatch.setattr(accounts.tokens._throttle, "note_unknown_token", guesses.append)
    removed = await accounts.tokens.add(ada.email)
    await accounts.tokens.remove(removed.id)
    await register(accounts, ada)
    with pytest.raises(TokenOver, match="removed"):
        await grant_of(accounts, removed.token)
    assert await grant_of(accounts, await accounts.job_token(JOB, 1, ONE))
    assert not guesses
    for unknown in ("jl_unknown", f"{await accounts.job_token(JOB, 1, ONE)}x"):
        with pytest.raises(LoginRefused):
            await grant_of(accounts, unknown)
    assert len(guesses) == 2


@pytest.mark.parametrize("gone", ["removed", "expired"])
async def test_after_thirty_days_nothing_is_known(
    accounts: Accounts, ada: Account, wall: Wall, gone: str
) -> None:
    """What has expired is removed then, which is recorded."""
    expires = wall() + timedelta(seconds=1)
    new = await accounts.tokens.add(ada.email, "t", scopes=("jobs:read",), expires=expires)
    if gone == "removed":
        await accounts.tokens.remove(new.id)
    wall.move(timedelta(days=30, seconds=2))
    assert await accounts.tokens.expire() == {"removed": 0, "expired": 1}[gone]
    if gone == "expired":
        with pytest.raises(TokenOver, match="removed"):
            await grant_of(accounts, new.token)
        wall.move(timedelta(days=30, seconds=2))
        assert await accounts.tokens.expire() == 0
    with pytest.raises(LoginRefused) as refused:
        await grant_of(accounts, new.token)
    assert not isinstance(refused.value, TokenOver)
