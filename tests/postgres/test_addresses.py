"""Addresses of databases: one server or several; passwords are never shown."""

import pytest
from psycopg.conninfo import conninfo_to_dict

from api.service.settings import BadSettings, load_settings
from ledger.store.postgres.address import conninfo, without_password

SEVERAL = "postgresql://ann@one:5432,two:5433/jobs"


def test_the_primary_of_several_servers_is_used() -> None:
    found = conninfo_to_dict(conninfo(SEVERAL))
    assert (found["host"], found["port"]) == ("one,two", "5432,5433")
    assert found["target_session_attrs"] == "read-write"


def test_a_lost_server_is_noticed() -> None:
    """Without a word from it, and within the time in which clients still wait."""
    found = conninfo_to_dict(conninfo(SEVERAL))
    assert int(found["tcp_user_timeout"] or 0) == 10_000
    assert int(found["keepalives_idle"] or 0) <= 5


def test_the_url_overrides_the_defaults() -> None:
    said = conninfo_to_dict(
        conninfo(f"{SEVERAL}?target_session_attrs=any&connect_timeout=9&tcp_user_timeout=1")
    )
    assert said["target_session_attrs"] == "any"
    assert said["connect_timeout"] == "9"
    assert said["tcp_user_timeout"] == "1"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (SEVERAL, SEVERAL),
        ("postgresql://ann:s3cret@one:5432,two:5433/jobs", SEVERAL),
        ("postgres://ann:s3%40cret@[::1]:5432/jobs", "postgres://ann@[::1]:5432/jobs"),
        ("postgresql://ann:s3?cret&@one/jobs", "postgresql://ann@one/jobs"),
        ("postgresql://ann:s3/cret?@:x@one/jobs", "postgresql://..."),
        (f"{SEVERAL}?password=s3cret", SEVERAL),
        (f"{SEVERAL}?p%61ssword=s3cret", SEVERAL),
        (
            f"{SEVERAL}?sslmode=require&sslpassword=s3cret&application_name=x",
            f"{SEVERAL}?sslmode=require&application_name=x",
        ),
        (
            "postgresql:///jobs?host=/run/a,/run/b&user=ann&password=s3cret",
            "postgresql:///jobs?host=/run/a,/run/b&user=ann",
        ),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


@pytest.mark.parametrize(
    "url", ["postgresql://ann:s3cret@[one/jobs", "postgresql://ann:s3cret@one/jobs?s3cret=1"]
)
def test_a_malformed_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(BadSettings, match="--store") as refused:
        load_settings(data="x", store=url)
    assert "s3cret" not in str(refused.value)
