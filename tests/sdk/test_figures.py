"""How far a command is, as it says it in the file that it finds, or as others print it."""

import re
from typing import Any

import pytest

from tests.sdk.conftest import FILE, MODULE

README = (FILE.parent / "README.md").read_text()
PATTERNS = dict(re.findall(r"^\| (\w+) \| `--progress 'regex:(.+?)'", README, re.MULTILINE))
"""The recipes of the document, by program."""

RESTIC = (
    '{"message_type":"status","percent_done":0.0712}\n{"percent_done":0.2534,"total_files":9}\n'
)
RCLONE = "Transferred:   \t  1.2 GiB / 4.9 GiB, 25%, 102 MiB/s, ETA 36s\nErrors: 0\n"
RSYNC = "    32,768   0%    0.00kB/s\r  1,238,099  12%  1.18MB/s    0:00:01 (xfr#5, ir-chk=16/39)\r"
RSYNC_KNOWS = "  9,238,099  87%  1.18MB/s    0:00:01 (xfr#35, to-chk=2/39)\r"
DD = "\r1048576 bytes (1.0 MB) copied, 1 s, 1.0 MB/s\r2097152 bytes (2.1 MB) copied, 2 s, 1 MB/s"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3/8 photos/2019\n", (3, 8, "photos/2019")),
        ("1/8\n2/8\n", (2, 8, None)),
        ("17 / 200\n\n", (17, 200, None)),
        ("12 rows\n", (12, None, "rows")),
        ("copying\n", (None, None, "copying")),
        ("", None),
        ("\n", None),
        (DD + "\n", (2097152, None, "bytes (2.1 MB) copied, 2 s, 1 MB/s")),
    ],
)
def test_the_last_line_of_the_file_counts(text: str, expected: Any) -> None:
    found = MODULE.figures_in_file(text)
    assert (found and (found.done, found.total, found.message)) == expected


@pytest.mark.parametrize(
    ("program", "text", "done"), [("restic", RESTIC, 25), ("rclone", RCLONE, 25)]
)
def test_recipes_of_the_document(program: str, text: str, done: int) -> None:
    found = MODULE.figures_by(PATTERNS[program])(text)
    assert (found.done, found.total, found.unit) == (done, 100, "percent")


def test_the_last_match_counts() -> None:
    read = MODULE.figures_by(r"(\d+) of (\d+)")
    assert read("1 of 9\r2 of 9\r")[:2] == (2, 9)
    assert read("nothing") is None


def test_what_rsync_prints_is_an_estimate_while_it_looks_for_files() -> None:
    assert MODULE.figures_of_rsync(RSYNC)[:4] == (12, 100, "percent", "estimate")
    assert MODULE.figures_of_rsync(RSYNC + RSYNC_KNOWS)[:4] == (87, 100, "percent", "exact")
    assert MODULE.figures_of_rsync("sending incremental file list\n") is None
