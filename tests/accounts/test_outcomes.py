"""What a failed login says of itself: a session records no event, a token does."""

from collections.abc import Callable

import pytest

from api.accounts.service import Account
from api.data.private_tables import PrivateTables
from ledger.domain.commands.tokens import IssueToken, RemoveTokens
from ledger.domain.errors.store import CommitFailed, StoreUnreachable
from ledger.store.seam import Batch, Cursor
from ledger.store.writer import Caller
from tests.accounts.calling import LOGIN, PASSWORD, call
from tests.accounts.conftest import Basic
from tests.api.calling import Api
from tests.api.late import Held
from tests.support.wait import PATIENCE_S

TOKEN = "/accounts/action/?do=create_token"

pytestmark = pytest.mark.usefixtures("known_place")


@pytest.fixture
async def known_place(api: Api, ada: Account, basic: Basic) -> None:
    """The first login from an address also records the place; Basic begins no session."""
    answer = await call(api, "GET", "/profile/", Authorization=basic(ada.email, PASSWORD))
    assert answer.status == 200


def login_of(account: Account) -> dict[str, str]:
    return {"username": account.email, "password": PASSWORD, "name": "script"}


def rows_in(cursor: Cursor) -> int:
    """Count the sessions and tokens."""
    cursor.execute("SELECT (SELECT count(*) FROM sessions) + (SELECT count(*) FROM tokens)")
    return int(cursor.fetchone()[0])


def rows(api: Api) -> int:
    return api.service.ledger.read(rows_in)


@pytest.mark.parametrize("path", [LOGIN, TOKEN], ids=["login", "token"])
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreUnreachable("away"), ("not-recorded", "nothing was changed")),
        (CommitFailed("broken"), ("unknown", "it may have been recorded: repeat it")),
    ],
    ids=["before the commit", "in the commit"],
)
async def test_a_failure_says_what_is_known(
    api: Api,
    ada: Account,
    monkeypatch: pytest.MonkeyPatch,
    *,
    path: str,
    error: Exception,
    told: tuple[str, str],
) -> None:
    outcome, words = told

    def fail(_: object) -> None:
        raise error

    for write in ("exclusive", "append"):
        monkeypatch.setattr(api.service.ledger._writer._store, write, fail)
    answer = await call(api, "POST", path, login_of(ada))
    assert (answer.status, answer.headers["X-Ledger-Outcome"]) == (503, outcome)
    assert words in answer.json[0]["error_message"]
    assert rows(api) == 0


@pytest.mark.parametrize("path", [LOGIN, TOKEN], ids=["login", "token"])
async def test_a_mistake_of_ours_may_come_after_the_commit(
    api: Api, ada: Account, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Then it is there, and nobody knows."""
    write, tokens = PrivateTables.write, api.service.accounts.tokens
    record = tokens._record

    async def write_and_err(tables: PrivateTables, work: Callable[[Cursor], object]) -> object:
        await write(tables, work)
        raise ValueError("a mistake of ours")

    async def record_and_err(command: IssueToken | RemoveTokens, by: Caller) -> int:
        await record(command, by)
        raise ValueError("a mistake of ours")

    with monkeypatch.context() as patch:
        patch.setattr(PrivateTables, "write", write_and_err)
        patch.setattr(tokens, "_record", record_and_err)
        answer = await call(api, "POST", path, login_of(ada))
    assert (answer.status, answer.headers["X-Ledger-Outcome"]) == (500, "unknown")
    assert rows(api) == 1


@pytest.mark.parametrize("path", [LOGIN, TOKEN], ids=["login", "token"])
async def test_what_takes_too_long_may_be_recorded(
    api: Api, ada: Account, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    writer, held = api.service.ledger._writer, Held()
    exclusive, append = writer._store.exclusive, writer._store.append

    def exclude(work: Callable[[Cursor], object]) -> object:
        def run(cursor: Cursor) -> object:
            done = work(cursor)
            if rows_in(cursor):
                held.pass_here()
            return done

        return exclusive(run)

    def append_and_wait(batch: Batch) -> int:
        position = append(batch)
        held.pass_here()
        return position

    with monkeypatch.context() as patch:
        patch.setattr(writer._store, "exclusive", exclude)
        patch.setattr(writer._store, "append", append_and_wait)
        answer = await held.answer(lambda: call(api, "POST", path, login_of(ada)), patch)
    assert (answer.status, answer.headers["X-Ledger-Outcome"]) == (503, "unknown")
    writer.exclusive(lambda _: None).result(PATIENCE_S)
    assert rows(api) == 1
