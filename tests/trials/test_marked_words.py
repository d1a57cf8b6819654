"""What programs and people wrote of a job is in one place, and nowhere once it is removed.

Searched byte by byte, after a run in which all words had a mark. That archives have none:
`retention/test_texts.py`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.wait import wait_for
from tests.trials.place import Place

MARK = "Kennwort-3141"
ENCODED = MARK.encode()
WORDS_OF = {("texts", "words"), ("leases", "figures")}
"""Where words may be: beside the ledger, and as long as they are the last that was heard."""
LISTS = {
    True: "SELECT name FROM sqlite_master WHERE type = 'table'",
    False: "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}


def tell(place: Place, job: str) -> None:
    """All that may be said of a job in words, from its registration to its end."""

    def say(method: str, path: str, **said: Any) -> None:
        place.tell(method, path, said, key=f"{job} {path} {said.get('outcome')}")

    words = {"message": f"{MARK} message"}
    failed = {"outcome": "failed", "error": {"type": "x", "message": f"{MARK} error"}}
    say("PUT", f"/jobs/{job}", operation="x", title=f"{MARK} title", instance="here")
    say("POST", f"/jobs/{job}/reports", phase={"name": "scan"}, **words)
    say("POST", f"/jobs/{job}/reports", progress={"done": 1}, **words)
    say("POST", f"/jobs/{job}/end", **failed, attempt=1, final=False)
    say("POST", f"/jobs/{job}/attempts", after=1, instance="here")
    say("POST", f"/jobs/{job}/cancel", note=f"{MARK} note")
    say("POST", f"/jobs/{job}/reports", attempt=2, progress={"done": 2}, **words)


def end(place: Place, job: str) -> None:
    error = {"type": "x", "message": f"{MARK} error", "tail": f"{MARK} tail"}
    said = {"outcome": "failed", "error": error, "result": {"is": f"{MARK} result"}}
    place.tell("POST", f"/jobs/{job}/end", {**said, "attempt": 2})


def test_words_are_in_one_place_and_after_their_removal_nowhere(
    place: Place, tmp_path: Path
) -> None:
    over, running = (f"{nth}4085bb8-066e-4c5b-a848-192bfa2112b8" for nth in (1, 2))
    for job in (over, running):
        tell(place, job)
    end(place, over)
    place.tell("POST", "/jobs", {"operation": "x", "title": MARK, "parent": over}, status=409)
    wait_for("until the last words are written", lambda: ("leases", "figures") in found_in(place))
    assert found_in(place) == WORDS_OF
    assert files_with_words(place.machine.data, but="ledger.sqlite") == []
    assert ENCODED not in place.machine.log.read_bytes()

    for job in (over, running):
        place.tell("DELETE", f"/jobs/{job}/texts", status=204)
    assert found_in(place) == set()
    end(place, running)
    assert found_in(place) == {("texts", "words")}
    place.tell("DELETE", f"/jobs/{running}/texts", status=204)
    assert found_in(place) == set()
    if place.is_sqlite:
        backed_up = place.machine.command("backup", str(tmp_path / "backup"))
        assert backed_up.returncode == 0, backed_up.stderr
        assert files_with_words(tmp_path / "backup") == []
    place.stop()  # SQLite's WAL ends with it, in which overwritten pages may be
    assert files_with_words(place.machine.data) == []
    assert ENCODED not in place.machine.log.read_bytes()
    place.machine.check_sound()


def found_in(place: Place) -> set[tuple[str, str]]:
    """Return the tables and columns that hold a mark."""
    return {
        (table, column)
        for (table,) in place.sql(LISTS[place.is_sqlite])
        for column in columns_with_words(place, table)
    }


def columns_with_words(place: Place, table: str) -> Iterator[str]:
    columns, rows = place.table(table)
    for column, values in zip(columns, zip(*rows, strict=True), strict=bool(rows)):
        if any(ENCODED in bytes_of(value) for value in values):
            yield column


def bytes_of(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()


def files_with_words(directory: Path, but: str = "none") -> list[Path]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return [path for path in files if but not in path.name and ENCODED in path.read_bytes()]
