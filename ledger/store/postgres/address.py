"""Where a PostgreSQL database is: one server, or several of which one is the primary."""

import re
from urllib.parse import unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

DEFAULTS = {
    "target_session_attrs": "read-write",
    "connect_timeout": "5",
    # Seconds, times, and milliseconds; a host that went away says nothing more.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
    # The same at the other end: locks of a host that went away are locks until the server sees it.
    "options": "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3",
}
"""What holds unless the url says otherwise."""

SECRET = {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
_LOGIN = re.compile(r"([^:@/]*)(?::[^@/]*)?@")


class BadAddress(ValueError):
    """No url that PostgreSQL's clients understand."""


def conninfo(url: str) -> str:
    """How to connect: of several servers, to the one that can be written to.

    Raises `BadAddress`, which says nothing of what is in the url.
    """
    try:
        return make_conninfo(make_conninfo(**DEFAULTS), **conninfo_to_dict(url))
    except psycopg.Error:
        raise BadAddress("PostgreSQL's clients do not understand this url") from None


def without_password(url: str) -> str:
    """The url as it may be shown, whether it is understood or not."""
    scheme, slashes, rest = url.partition("://")
    login = _LOGIN.match(rest)
    if login is None and "@" in rest:
        return f"{scheme}://..."  # part of a password, for all one knows
    user = f"{login[1]}@" if login else ""
    place, question, options = rest[login.end() if login else 0 :].partition("?")
    kept = [option for option in options.split("&") if not _is_secret(option)]
    options = question + "&".join(kept) if any(kept) else ""
    return f"{scheme}{slashes}{user}{place}{options}"


def _is_secret(option: str) -> bool:
    return unquote(option.partition("=")[0]).strip().lower() in SECRET
