"""Nobody searches in a heap."""

from pathlib import Path

import pytest

from tests.readme.reading import FOLDERS

ENTRIES = 25


def entries_of(folder: Path) -> dict[Path, list[Path]]:
    """The entries of a folder and of all below it, without what Python keeps beside them."""
    own = [path for path in folder.iterdir() if path.name != "__pycache__"]
    below = [entries_of(path) for path in own if path.is_dir()]
    return {folder: own} | {each: found for some in below for each, found in some.items()}


@pytest.mark.parametrize("top", FOLDERS, ids=lambda top: top.name)
def test_no_folder_has_more_entries_than_a_reader_surveys(top: Path) -> None:
    heaps = {
        str(folder): len(entries)
        for folder, entries in entries_of(top).items()
        if len(entries) > ENTRIES
    }
    assert heaps == {}
