"""Nobody searches in a heap."""

from pathlib import Path

import pytest

from tests.readme.reading import FOLDERS

ENTRIES = 25


@pytest.mark.parametrize("top", FOLDERS, ids=lambda top: top.name)
def test_no_folder_has_more_entries_than_a_reader_surveys(top: Path) -> None:
    heaps = {
        str(folder): len(entries)
        for folder in [top, *(path for path in top.rglob("*") if path.is_dir())]
        if len(entries := [path for path in folder.iterdir() if path.name != "__pycache__"])
        > ENTRIES
    }
    assert heaps == {}
