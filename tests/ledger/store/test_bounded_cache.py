"""What the writer remembers is bounded, in number and in bytes."""

from collections import OrderedDict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.commands.drives import CreateDrives, EditDrive, NewDrive
from ledger.domain.commands.tags import CreateTags, NewTag
from ledger.store import state_cache
from ledger.store.bounded_cache import BoundedCache
from tests.support.opened import Opened
from tests.support.world import ME, disk

MOST, BYTES = 4, 100
puts = st.dictionaries(st.sampled_from("abcdefg"), st.text("x", max_size=60), max_size=3)


@given(st.lists(puts | st.sampled_from("abcdefg"), max_size=30))
def test_it_keeps_what_was_put_last(steps: list[dict[str, str] | str]) -> None:
    """As many as there is room for; a text that is dropped is gone."""
    cache = BoundedCache[str](MOST, BYTES, len)
    model = OrderedDict[str, str]()
    for step in steps:
        if isinstance(step, str):
            cache.drop(step)
            model.pop(step, None)
        else:
            cache.put(step)
            for name, text in step.items():
                model[name] = text
                model.move_to_end(name)
        while len(model) > MOST or sum(map(len, model.values())) > BYTES:
            model.popitem(last=False)
        assert {name: cache.get(name) for name in "abcdefg" if name in cache} == model
        assert cache.bytes == sum(map(len, model.values()))
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


def test_the_newest_is_kept_however_long_it_is() -> None:
    cache = BoundedCache[str](MOST, BYTES, len)
    cache.put({"a": "x", "b": "x" * 2 * BYTES})
    assert (cache.get("a"), cache.get("b")) == (None, "x" * 2 * BYTES)


def test_long_texts_leave_the_writers_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drives with a long `meta` are read again when they are needed, and decided right."""
    monkeypatch.setattr(state_cache, "CACHED_BYTES", 100_000)
    with Opened(tmp_path / "ledger.sqlite") as opened:
        drives = [f"d{number}" for number in range(9)]
        for drive in drives:
            new = NewDrive(drive, disk(meta={"note": drive + "x" * 30_000}))
            opened.do(CreateDrives(ME, (new,), "blank"))
        kept = opened.ledger._writer._committed.cache._streams
        assert 60_000 < kept.bytes <= 100_000
        for drive in drives:
            opened.do(EditDrive(ME, drive, name="oak"))
        with opened.views.snapshot() as snapshot:
            shown = snapshot.drives_among(drives, ME)
    assert [each.definition.name for each in shown] == ["oak"] * len(drives)
    assert [each.definition.meta["note"][:2] for each in shown] == drives


def test_what_bears_long_tags_leaves_the_writers_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So do the tags of what has many; all are read again when they are needed."""
    monkeypatch.setattr(state_cache, "CACHED_BYTES", 10_000)
    drives, tags = [[f"{kind}{number}" for number in range(30)] for kind in "dt"]
    with Opened(tmp_path / "ledger.sqlite") as opened:
        opened.do(CreateDrives(ME, tuple(NewDrive(drive, disk()) for drive in drives), "blank"))
        for tag in tags:
            opened.do(CreateTags(ME, (NewTag(tag, tag, {}, tuple(drives[1:])),)))
        cache = opened.ledger._writer._committed.cache
        assert 0 < cache._streams.bytes <= 10_000
        assert 0 < cache._relations.bytes <= 10_000
        opened.do(EditDrive(ME, "d0", tags=tuple(tags)), EditDrive(ME, "d1", tags=("t1",)))
        with opened.views.snapshot() as snapshot:
            shown = {tag.uuid: len(tag.resources) for tag in snapshot.tags_among(tags, ME)}
        assert shown == {tag: 30 if tag == "t1" else 29 for tag in tags}
