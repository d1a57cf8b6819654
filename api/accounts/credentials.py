"""Emails, passwords and Authorization headers as they are read, and secrets as they are hashed."""

import base64
import binascii
import hashlib
import re
import secrets
import unicodedata
from dataclasses import dataclass, field

import argon2

from ledger.domain.errors import Expected

EMAIL_LENGTH_MAX = 254
PASSWORD_LENGTH_MIN = 8
PASSWORD_LENGTH_MAX = 1024
HEADER_LENGTH_MAX = 8192
COMPOSED_MOST = 4
"""How many characters NFC combines into one at most."""
MARKS_MAX = 30
GENERATED_PASSWORD_BYTES = 18
SECRET_BYTES = 32

_EMAIL = re.compile(r"[^\s@:]+@[^\s@:.]+(\.[^\s@:.]+)*")
_hasher = argon2.PasswordHasher()


class InvalidAccount(Expected):
    """No account can have this email, password or role."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """An email and a password that are not verified yet."""

    email: str
    password: str = field(repr=False)


def normal_email(text: str) -> str:
    """Return the form in which an email is stored and looked up; case does not matter.

    Raise `InvalidAccount` for what is not an email.
    """
    email = _composed(text.strip().casefold(), EMAIL_LENGTH_MAX)
    if email is None:
        raise InvalidAccount(f"an email may have at most {EMAIL_LENGTH_MAX} characters")
    if not _EMAIL.fullmatch(email) or not email.isprintable():
        raise InvalidAccount("not an email: expected NAME@DOMAIN")
    return email


def normal_password(text: str) -> str:
    """Return the password as it is hashed. Raise `InvalidAccount` if it could never log in."""
    password = _composed(text, PASSWORD_LENGTH_MAX)
    if password is None or len(password) < PASSWORD_LENGTH_MIN:
        raise InvalidAccount(
            f"a password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"
        )
    if _is_unsendable(password):
        raise InvalidAccount("a password may not hold control characters")
    return password


def new_password() -> str:
    return secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)


def parse_basic(header: str) -> Credentials | None:
    """Return the credentials of an Authorization header (RFC 7617); None if it has none.

    Many clients send Latin-1 though the challenge asks for UTF-8, so what is not UTF-8 is that.
    """
    scheme, _, encoded = header.partition(" ")
    if len(header) > HEADER_LENGTH_MAX or scheme.lower() != "basic":
        return None
    try:
        sent = base64.b64decode(encoded.strip(" "), validate=True)
    except (binascii.Error, ValueError):
        return None
    try:
        text = sent.decode("utf-8")
    except UnicodeDecodeError:
        text = sent.decode("latin-1")
    user, colon, password = text.partition(":")
    if not colon or _is_unsendable(text):
        return None
    return credentials_of(user, password)


def parse_bearer(header: str) -> str | None:
    """Return the token of an Authorization header (RFC 6750); None for another scheme."""
    scheme, _, token = header.partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def credentials_of(user: str, password: str) -> Credentials | None:
    """Return None for an email or a password that no account can have."""
    try:
        return Credentials(normal_email(user), normal_password(password))
    except InvalidAccount:
        return None


def new_secret() -> str:
    """Draw a random text of letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(SECRET_BYTES)


def secret_hash(secret: str) -> bytes:
    """Return the hash by which a random secret is stored; as it cannot be guessed, a fast one."""
    # What clients send may hold lone surrogates: aiohttp's form of bytes that are not UTF-8.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def hash_password(password: str) -> str:
    """Hash a password; blocks for about a tenth of a second."""
    return _hasher.hash(password)


def is_password(password: str, password_hash: str) -> bool:
    """Return whether it is the hash of the password; blocks for about a tenth of a second."""
    try:
        return _hasher.verify(password_hash, password)
    except argon2.exceptions.VerifyMismatchError:
        return False


def unmatchable_hash() -> str:
    """Return a hash that no password has; verifying it takes as long as for a real one."""
    h = _hasher
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
        for length in (h.salt_len, h.hash_len)
    )
    cost = f"m={h.memory_cost},t={h.time_cost},p={h.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"


def _composed(text: str, most: int) -> str | None:
    """Return the text in NFC; None if it has more characters than `most`.

    The time for a row of combining marks grows with its square: no row is longer than a text of
    Unicode's Stream-Safe form may have.
    """
    if len(text) > COMPOSED_MOST * most or _longest_row_of_marks(text) > MARKS_MAX:
        return None
    composed = unicodedata.normalize("NFC", text)
    return composed if len(composed) <= most else None


def _longest_row_of_marks(text: str) -> int:
    if text.isascii():
        return 0
    longest = row = 0
    for character in text:
        row = row + 1 if unicodedata.combining(character) else 0
        longest = max(longest, row)
    return longest


def _is_unsendable(text: str) -> bool:
    """Look for control characters, which RFC 7617 excludes, and surrogates, which have no UTF-8."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
