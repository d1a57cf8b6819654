"""What emails, passwords and Authorization headers look like, and how secrets are hashed."""

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
GENERATED_PASSWORD_BYTES = 18
SECRET_BYTES = 32

_EMAIL = re.compile(r"[^\s@:]+@[^\s@:.]+(\.[^\s@:.]+)*")
_hasher = argon2.PasswordHasher()


class InvalidAccount(Expected):
    """The email, the password or the role can never be an account's."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What somebody claims to be; not verified."""

    email: str
    password: str = field(repr=False)


def normal_email(text: str) -> str:
    """The one form in which an email is stored and looked up: upper and lower case are the same.

    Raises `InvalidAccount`.
    """
    email = unicodedata.normalize("NFC", text.strip().casefold())
    if len(email) > EMAIL_LENGTH_MAX:
        raise InvalidAccount(f"an email may have at most {EMAIL_LENGTH_MAX} characters")
    if not _EMAIL.fullmatch(email) or not email.isprintable():
        raise InvalidAccount("not an email: expected NAME@DOMAIN")
    return email


def normal_password(text: str) -> str:
    """The password as it is hashed. Raises `InvalidAccount` for one that could never log in."""
    password = unicodedata.normalize("NFC", text)
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise InvalidAccount(
            f"a password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters"
        )
    if _unsendable(password):
        raise InvalidAccount("a password may not hold control characters")
    return password


def new_password() -> str:
    """A random password that nobody can guess."""
    return secrets.token_urlsafe(GENERATED_PASSWORD_BYTES)


def parse_basic(header: str) -> Credentials | None:
    """The credentials in an Authorization header (RFC 7617, UTF-8); None if there are none."""
    scheme, _, encoded = header.partition(" ")
    if len(header) > HEADER_LENGTH_MAX or scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(" "), validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    user, colon, password = text.partition(":")
    if not colon or _unsendable(text):
        return None
    return credentials_of(user, password)


def parse_bearer(header: str) -> str | None:
    """The token in an Authorization header (RFC 6750); None if it is none of that scheme."""
    scheme, _, token = header.partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else None


def credentials_of(user: str, password: str) -> Credentials | None:
    """What somebody claims to be; None for what no account can have."""
    try:
        return Credentials(normal_email(user), normal_password(password))
    except InvalidAccount:
        return None


def new_secret() -> str:
    """A random text that nobody can guess, of letters, digits, `-` and `_`."""
    return secrets.token_urlsafe(SECRET_BYTES)


def secret_hash(secret: str) -> bytes:
    """The form in which such a text is kept; a quick hash will do where nobody can guess."""
    # What clients send may hold lone surrogates: aiohttp's form of bytes that are not UTF-8.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def hash_password(password: str) -> str:
    """Blocks for about a tenth of a second."""
    return _hasher.hash(password)


def is_password(password: str, password_hash: str) -> bool:
    """Whether the hash was made from the password; blocks for about a tenth of a second."""
    try:
        return _hasher.verify(password_hash, password)
    except argon2.exceptions.VerifyMismatchError:
        return False


def unmatchable_hash() -> str:
    """A hash that no password has, and that takes as long to verify as a real one."""
    h = _hasher
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).rstrip(b"=").decode()
        for length in (h.salt_len, h.hash_len)
    )
    cost = f"m={h.memory_cost},t={h.time_cost},p={h.parallelism}"
    return f"$argon2id$v=19${cost}${salt}${digest}"


def _unsendable(text: str) -> bool:
    """Control characters, which RFC 7617 excludes, or lone surrogates, which have no UTF-8."""
    return any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
