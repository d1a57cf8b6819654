"""The places from which an account has logged in by its password.

A place is known by a cookie, which a browser keeps after a logout, or by its address, which the
store remembers. Both are keyed by the hash of the account's password: a new password makes all
places unknown, no account can use another's, and whoever can read the key has the hash itself and
need not guess at a service.
"""

import hmac
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

from api.accounts.signing import bytes_of
from api.accounts.throttle import Place
from api.text.addresses import network_of
from ledger.store.seam import Cursor
from ledger.store.tables import accounts, known_places
from ledger.store.tables.accounts import StoredAccount

RECORDED_EVERY = timedelta(days=1)
"""A place that was recorded more recently is not recorded again."""
DEVICE_VALID_FOR = timedelta(days=180)
NONCE_BYTES = 12


class Client(NamedTuple):
    """Where a login comes from: an address, and the cookie of a device, if it sent one."""

    address: str
    device: str | None = None


class Located(NamedTuple):
    """An account, if there is one, and the place of a login to it."""

    stored: StoredAccount | None
    place: Place
    is_recorded: bool
    """Whether the address was recorded lately."""


def locate(cursor: Cursor, email: str, client: Client, now: datetime) -> Located:
    """Find the account of an email and the place of its client; both reads always happen."""
    stored = accounts.find(cursor, email)
    network = network_of(client.address)
    address = _address_mac(stored, network)
    seen = known_places.seen(cursor, stored.uuid if stored else "", address)
    if stored is None:
        return Located(None, Place(network, None), is_recorded=True)
    device = _device_mac(stored, client.device)
    known = device or (address if seen and now - seen < known_places.KEPT else None)
    is_recorded = seen is not None and now - seen < RECORDED_EVERY
    return Located(stored, Place(network, known), is_recorded)


def record(cursor: Cursor, stored: StoredAccount, client: Client, now: datetime) -> None:
    """Record the address as a place of the account."""
    place = _address_mac(stored, network_of(client.address))
    known_places.record(
        cursor, stored.uuid, place, password_version=stored.password_version, now=now
    )


def device_of(stored: StoredAccount, client: Client) -> str:
    """Return the cookie by which this device is known from now on: its own, or a new one."""
    if client.device is not None and _device_mac(stored, client.device):
        return client.device
    nonce = secrets.token_urlsafe(NONCE_BYTES)
    return f"{nonce}.{_mac(stored, 'device', nonce).hex()}"


def _device_mac(stored: StoredAccount, device: str | None) -> bytes | None:
    """Return by what the account knows a device; None if the cookie is not of this account."""
    nonce, _, given = (device or "").rpartition(".")
    mac = _mac(stored, "device", nonce)
    return mac if hmac.compare_digest(mac.hex().encode(), bytes_of(given)) else None


def _address_mac(stored: StoredAccount | None, network: str) -> bytes:
    return b"" if stored is None else _mac(stored, "address", network)


def _mac(stored: StoredAccount, kind: str, text: str) -> bytes:
    message = "\n".join((kind, stored.uuid, str(stored.password_version), text))
    return hmac.digest(stored.password_hash.encode(), bytes_of(message), "sha256")
