"""A request to stop that is made while the service goes down."""

import pytest

from tests.support.wait import PATIENCE_S, wait_for
from tests.trials.place import Place
from tests.trials.producers import Producers

COMMAND = "trap 'exit 9' TERM; for _ in $(seq 10000); do sleep 0.05; done"


@pytest.mark.parametrize(
    "place",
    ["sqlite", pytest.param("postgres", marks=[pytest.mark.postgres, pytest.mark.long])],
    indirect=True,
)
def test_what_was_acknowledged_before_a_kill_is_obeyed_afterwards(
    place: Place, producers: Producers
) -> None:
    """However often it was asked; also by a job that was in the queue, and is not any more."""
    producers.begin_with(producers.jl("run", "--grace", "1000", "--", "sh", "-c", COMMAND))
    queued = "14085bb8-066e-4c5b-a848-192bfa2112b8"
    place.tell("PUT", f"/jobs/{queued}", {"operation": "later", "queued": True})
    [running] = wait_for(
        "for the command", lambda: [job["uuid"] for job in place.jobs() if job["attempt"]]
    )
    for _ in range(2):
        place.tell("POST", f"/jobs/{running}/cancel", {"note": "no room"})
    place.tell("POST", f"/jobs/{queued}/cancel", {})
    place.kill()
    place.start()
    producers.let_marks_expire()
    assert producers.running[0].wait(PATIENCE_S) == 9
    producers.flush()
    for uuid in (running, queued):
        job = place.ask(f"/jobs/{uuid}")
        assert (job["state"], job["reason"]) == ("cancelled", "requested")
    asked = place.sql(f"SELECT topic FROM stored_events WHERE originator_id = 'job-{running}'")
    assert [topic for (topic,) in asked].count("job-cancel-requested/1") == 1
    place.stop()
    place.machine.check_sound()
