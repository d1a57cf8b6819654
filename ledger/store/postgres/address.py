"""The address of a PostgreSQL database: one server, or several of which one is the primary."""

import re
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

DEFAULTS = {
    "target_session_attrs": "read-write",
    "connect_timeout": "5",
    # Seconds, times, and milliseconds; a host that has gone away says nothing more.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # The same on the server, which holds the locks of a host that has gone away until it notices.
    "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3",
}
"""Parameters that apply unless the url sets them."""

SECRET = {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
_LOGIN = re.compile(r"([^:@/]*)(?::[^@/]*)?@")


class BadAddress(ValueError):
    """A url that PostgreSQL's clients do not understand."""


def conninfo(url: str) -> str:
    """Return the connection string, which selects the writable one of several servers.

    Raises `BadAddress`, which quotes nothing of the url.
    """
    try:
        return make_conninfo(make_conninfo(**DEFAULTS), **conninfo_to_dict(url))
    except psycopg.Error:
        raise BadAddress("PostgreSQL's clients do not understand this url") from None


def without_password(url: str) -> str:
    """Return the url in a form that may be shown, even if it is malformed."""
    scheme, slashes, rest = url.partition("://")
    login = _LOGIN.match(rest)
    if login is None and "@" in rest:
        return f"{scheme}://..."  # possibly part of a password
    user = f"{login[1]}@" if login else ""
    place, question, options = rest[login.end() if login else 0 :].partition("?")
    kept = [option for option in options.split("&") if not _is_secret(option)]
    options = question + "&".join(kept) if any(kept) else ""
    return f"{scheme}{slashes}{user}{place}{options}"


def _is_secret(option: str) -> bool:
    return unquote(option.partition("=")[0]).strip().lower() in SECRET
