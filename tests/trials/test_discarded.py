"""A job that was discarded, of which a spool tells once more."""

from shutil import copytree

import pytest

from tests.support.wait import PATIENCE_S
from tests.trials.place import Place
from tests.trials.producers import Producers


@pytest.mark.parametrize(
    "place",
    [
        pytest.param("sqlite"),
        pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.long]),
    ],
    indirect=True,
)
def test_a_spool_drops_what_it_has_of_a_discarded_job(place: Place, producers: Producers) -> None:
    """Its uuid is spent, before its events are archived and after; audits stay clean."""
    place.kill()
    producers.begin_with(producers.jl("run", "--title", "words", "--", "true"))
    assert producers.running[0].wait(PATIENCE_S) == 0
    again = copytree(producers.spool, producers.spool.with_name("again"))
    place.start()
    producers.flush()
    [uuid] = [job["uuid"] for job in place.jobs()]
    for words in (["set", "PT0S", "--keep-last", "0"], ["run"]):
        done = place.machine.command("retention", *words)
        assert done.returncode == 0, done.stderr
        copytree(again, producers.spool, dirs_exist_ok=True)
        producers.flush()
        assert producers.left() == []
        assert producers.refused() == []
    assert [*place.jobs()] == []
    place.tell("GET", f"/jobs/{uuid}", status=410)
    audit = place.machine.command("audit", "replay", "--with-archive")
    assert audit.returncode == 0, audit.stdout
    place.stop()
    place.machine.check_sound()
