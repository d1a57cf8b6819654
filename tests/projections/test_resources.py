"""What a change of one thing changes of others, and what is in motion."""

from ledger.domain.commands.drives import CreateDrives, DeleteDrives, NewDrive
from ledger.domain.commands.jobs import FailJob, StartAttempt
from projections.views import jobs
from projections.views.read_models import OwnedResource
from tests.support.opened import Opened
from tests.support.world import ME, SOMEBODY_ELSE, disk


def test_ancestors_up_to_the_root(told: Opened) -> None:
    """Each with its parent, whatever the depth; a job that never was has none."""
    with told.snapshot() as snapshot:
        assert snapshot.parents(["leaf", "branch", "nobody"]) == {
            "leaf": "twig",
            "twig": "branch",
            "branch": "root",
            "root": None,
        }
        assert snapshot.parents([]) == {}


def test_drives_and_servers_are_told_apart(told: Opened) -> None:
    """With their owners; what is deleted is not there."""
    with told.snapshot() as snapshot:
        found = snapshot.drives_and_servers(["a", "gone", "s", "theirs", "root", "t2"])
    assert sorted(found) == [
        OwnedResource("drive", "a", ME),
        OwnedResource("drive", "theirs", SOMEBODY_ELSE),
        OwnedResource("server", "s", ME),
    ]


def test_jobs_that_name_something(told: Opened, monkeypatch) -> None:
    """Also if it is gone by now; of many, the newest."""
    with told.snapshot() as snapshot:
        assert snapshot.jobs_naming(["a2"]) == [("clone-of-a", ME, None)]
        assert set(snapshot.jobs_naming(["new-1", "new-3"])) == {
            ("new-2", ME, "clone-of-s"),
            ("new-4", ME, "clone-of-s"),
        }
        everything = snapshot.jobs_naming(["a"])
        assert [uuid for uuid, _, _ in everything] == ["clone-of-a", "new-10", "new-6", "new-2"]
        monkeypatch.setattr(jobs, "NAMING_LIMIT", 2)
        assert snapshot.jobs_naming(["a"]) == everything[:2]


def test_what_is_in_motion(told: Opened) -> None:
    """Running jobs, the drives and servers they name, drives that wait for an image; one's own."""
    told.do(CreateDrives(ME, (NewDrive("blank", disk()), NewDrive("x", disk())), "blank"))
    told.do(DeleteDrives(ME, ("x",)))
    with told.snapshot() as snapshot:
        things = [(kind, uuid) for kind, uuid, _ in snapshot.in_motion(ME)]
        theirs = snapshot.in_motion(SOMEBODY_ELSE)
    running = ["running-clone-of-s", "new-10", "new-12", "root", "branch", "twig", "other-leaf"]
    running += ["upload", "laptop", "waiting", "night", "fan", "worked"]
    running += ["crew", "lost", "again", "beats", "dated"]
    assert sorted(things) == sorted(
        [
            *(("job", uuid) for uuid in running),
            *(("drive", uuid) for uuid in ("a", "b", "new-9", "new-11", "blank")),
            *(("server", uuid) for uuid in ("s", "s4", "t")),
        ]
    )
    assert theirs == [
        OwnedResource("job", "their-job", SOMEBODY_ELSE),
        OwnedResource("drive", "theirs", SOMEBODY_ELSE),
    ]
    told.do(StartAttempt("new-12", 1, "w"), FailJob("new-12", 1, "x"))
    with told.snapshot() as snapshot:
        assert ("job", "new-12") not in [(kind, uuid) for kind, uuid, _ in snapshot.in_motion(ME)]


def test_what_is_in_motion_is_found_by_indexes(told: Opened) -> None:
    """An account's many idle drives and finished jobs cost nothing."""
    statements: list[str] = []
    with told.snapshot() as snapshot:
        snapshot._connection.set_trace_callback(statements.append)
        snapshot.in_motion(ME)
        snapshot._connection.set_trace_callback(None)
        plans = [
            detail
            for statement in statements
            for *_, detail in snapshot._connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
    assert any("drives_g1_unready" in plan for plan in plans)
    assert not [plan for plan in plans if plan.startswith("SCAN") and "unready" not in plan], plans
    assert not [plan for plan in plans if "drives_g1_owner" in plan], plans
