import base64
import runpy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.accounts import credentials
from api.accounts.credentials import (
    EMAIL_LENGTH_MAX,
    HEADER_LENGTH_MAX,
    PASSWORD_LENGTH_MAX,
    Credentials,
    InvalidAccount,
    new_password,
    normal_email,
    normal_password,
    parse_basic,
)
from api.accounts.service import Accounts, LoginRefused
from tests.accounts.calling import HERE


def _basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


MALFORMED = [
    None,
    "",
    "Basic",
    "Basic ",
    "Basic  ",
    "Bearer abc",
    'Digest username="a"',
    "Basic !!!!",
    "Basic YQ",
    "Basic YTpi=",
    _basic(b"no colon"),
    _basic(b":only-a-password"),
    _basic(b"a@b.test:"),
    _basic(b"\xff\xfe:password"),
    _basic(b"a@b.test:with\x00zero"),
    _basic(b"a@b.test:with\nnewline"),
    _basic(b"a\x00@b.test:password1"),
    "Basic " + "A" * (HEADER_LENGTH_MAX + 4),
    _basic(b"a@b.test:" + b"p" * (PASSWORD_LENGTH_MAX + 1)),
    "Basic \udcff\udcfe",
    "Basic \ud800",
    "Básic YTpi",
]


@pytest.mark.parametrize("header", MALFORMED, ids=[str(n) for n in range(len(MALFORMED))])
async def test_malformed_header_is_a_refusal(accounts: Accounts, header, verified) -> None:
    """What is no Basic login is refused like a wrong one, and nothing is hashed for it."""
    with pytest.raises(LoginRefused):
        await accounts.authenticate(header, HERE)
    assert verified == []


any_text = st.text(st.characters(exclude_categories=[]))


@given(
    st.one_of(
        any_text,
        any_text.map("Basic ".__add__),
        st.binary().map(_basic),
        any_text.map(lambda text: _basic(text.encode("utf-8", "surrogatepass"))),
    )
)
@settings(max_examples=500, deadline=None)
def test_any_header_is_read_or_not(header: str) -> None:
    """No header is an error: it holds credentials as they could be stored, or none."""
    found = parse_basic(header)
    if found is not None:
        assert normal_email(found.email) == found.email
        assert normal_password(found.password) == found.password


printable = st.characters(exclude_categories=["Cc", "Cs"])


@given(st.text(printable, min_size=8, max_size=40), st.sampled_from(["Basic", "basic", "BASIC"]))
@settings(deadline=None)
def test_every_password_can_log_in(password: str, scheme: str) -> None:
    """Whatever is accepted as a password comes through the header."""
    try:
        accepted = normal_password(password)
    except InvalidAccount:  # composed, it is shorter than eight
        return
    encoded = base64.b64encode(f"a@b.test:{password}".encode()).decode()
    assert parse_basic(f"{scheme} {encoded}") == Credentials("a@b.test", accepted)


@given(any_text)
@settings(deadline=None)
def test_normal_email_is_normal(text: str) -> None:
    """Every email has one form, and that can be part of a Basic login."""
    for candidate in (text, f"{text}@example.test"):
        try:
            email = normal_email(candidate)
        except InvalidAccount:
            continue
        assert normal_email(email) == email
        assert ":" not in email
        email.encode()


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_password_logs_in_from_clients_that_send_latin_1(encoding: str) -> None:
    header = _basic("a@b.test:größer als alles".encode(encoding))
    assert parse_basic(header) == Credentials("a@b.test", "größer als alles")


@pytest.mark.parametrize(
    "email",
    ["", "ada", "@b.test", "ada@", "a b@c.test", "a:b@c.test", "a@b@c.test", "a@b..test", "a@.b",
     "a\n@b.test", "a\u200b@b.test", "a@" + "b" * EMAIL_LENGTH_MAX],
)  # fmt: skip
def test_invalid_email(email: str) -> None:
    """What cannot be an email is refused."""
    with pytest.raises(InvalidAccount):
        normal_email(email)


@pytest.mark.parametrize(
    "password", ["", "seven77", "x" * 1025, "tab\there1", "nul\0here", "\ud800" * 8]
)
def test_invalid_password(password: str) -> None:
    """Too short, too long, or what no client could send."""
    with pytest.raises(InvalidAccount):
        normal_password(password)


def test_new_password_is_valid_and_new() -> None:
    """Passwords that are made up are accepted and differ."""
    made_up = {new_password() for _ in range(100)}
    assert len(made_up) == 100
    assert all(normal_password(password) == password for password in made_up)


def test_every_guess_is_expensive() -> None:
    """The service's own hashes, unlike those of the tests, cost what RFC 9106 recommends."""
    service = runpy.run_path(str(credentials.__file__))
    for made in (service["hash_password"]("a password"), service["unmatchable_hash"]()):
        assert made.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_no_password_in_a_repr() -> None:
    """Credentials can be printed."""
    assert "secret" not in repr(Credentials("a@b.test", "secret99"))
