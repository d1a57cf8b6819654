"""Archives that are not regular files: commands report them, and none waits for a FIFO.

Whatever opens it runs in a process of its own, so that one that waits fails its test.
"""

import os
from pathlib import Path

import pytest

from ledger.archives import Shelf
from tests.commands.cli.old_ledger import found, old_ledger
from tests.commands.cli.processes import Answer, ask, run

SAYING = "it is not a regular file"


@pytest.fixture
def archive(data: Path) -> Path:
    """The only archive of a ledger in the data directory."""
    old_ledger(data, "a")
    assert ask("retention", "run", "--data", data).code == 0
    [name] = Shelf(data / "archive").names()
    return data / "archive" / f"{name}.jsonl.zst"


def said(answer: Answer, code: int) -> str:
    assert answer.code == code
    assert "Traceback" not in answer.err
    return " ".join((answer.out + answer.err).split())


def test_every_command_reports_it(data: Path, archive: Path) -> None:
    """Those that only need the ledger go on without the archive."""
    archive.unlink()
    os.mkfifo(archive)
    note = data.with_name("note")
    note.write_text(ask("audit", "checkpoint", "--data", data).out)
    at = ("--data", data)
    for code, words in (
        (1, ("doctor", *at)),
        (0, ("retention", "show", *at)),
        (1, ("retention", "plan", "--as-of", "2026-01-01T00:00:00Z", *at)),
        (1, ("audit", "replay", "--with-archive", *at)),
        (1, ("audit", "replay", "--archive", archive)),
        (1, ("audit", "verify", "--checkpoint", note, *at)),
        (1, ("backup", data.with_name("backup"), *at)),
    ):
        assert SAYING in said(run(*words), code), words
    assert "nothing was due" in said(run("retention", "run", *at), 0)


def test_one_that_the_ledger_does_not_name(data: Path, archive: Path) -> None:
    """What is sought in archives may be in it, so the doctor looks at it, too."""
    stray = archive.with_name("stray.jsonl.zst")
    stray.symlink_to(archive.parent)
    [problem] = found(data)["problems"]
    assert problem == f"archive {stray}: it cannot be read: {SAYING}"
