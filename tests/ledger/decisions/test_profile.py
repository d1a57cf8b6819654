"""Profiles: the ledger records how clones are named, but no personal data."""

from pathlib import Path

import pytest

from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    EditDrive,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.commands.profiles import EditProfile
from ledger.domain.commands.servers import CloneServer, ServerEdit
from ledger.domain.context import Fact, SetPersonal
from ledger.domain.events.drives import DriveCreated
from ledger.domain.events.profiles import CloneNaming, ProfileChanged
from ledger.domain.events.servers import ServerCreated
from tests.support.deciding import Outcome, given
from tests.support.opened import Opened
from tests.support.world import (
    ME,
    SOMEBODY_ELSE,
    START,
    disk,
    machine,
    mount,
    ready_drive,
    server_created,
)

NAMES: dict[CloneNaming, str] = {
    "NONE": "ember",
    "COUNTER": "ember_1",
    "DATE": f"ember-{START:%Y-%m-%d}",
    "TIMESTAMP": f"ember-{START:%Y-%m-%d %H:%M:%S}",
}


def name_of(outcome: Outcome, stream: str) -> str:
    [created] = outcome.events_of(stream)
    assert isinstance(created, DriveCreated | ServerCreated)
    return created.definition.name


def test_an_event_names_the_fields_and_holds_no_value() -> None:
    """Personal values go to their plain table."""
    personal = {"phone": '"+1 555"', "company": '"ACME"'}
    given().when(EditProfile(ME, personal, "DATE")).then(
        Fact(f"profile-{ME}", ProfileChanged(("company", "phone", "clone_naming"), "DATE")),
        SetPersonal(ME, personal),
    )


def test_personal_data_are_nowhere_in_the_ledger(opened: Opened) -> None:
    """Neither in an event nor in a row of the read models."""
    opened.do(EditProfile(ME, {"phone": '"+1 555 0199"'}, "DATE"))
    with opened.ledger.log() as log:
        events = [event.state for event in log.events()]
    assert len(events) == 1
    assert not any(b"0199" in state for state in events)
    assert "0199" not in repr(opened.rows())


def test_an_edit_of_nothing_records_nothing() -> None:
    """No field, no event."""
    given().when(EditProfile(ME, {})).then()


def test_a_profile_keeps_its_naming_when_other_fields_change() -> None:
    """The last one that was said holds."""
    world = given(
        EditProfile(ME, {}, "DATE"),
        EditProfile(ME, {}, "COUNTER"),
        EditProfile(ME, {"phone": '"1"'}),
    ).world
    assert world.profile(ME).clone_naming == "COUNTER"
    assert world.profile(SOMEBODY_ELSE).clone_naming == "NONE"


@pytest.mark.parametrize("naming", NAMES)
def test_clones_are_named_by_their_owners_rule(naming: CloneNaming) -> None:
    """Drives, servers, and the disks of cloned servers."""
    world = given(
        EditProfile(ME, {}, naming),
        ready_drive("d", disk("ember")),
        server_created("s", mount("d"), definition=machine("ember")),
    )
    drive = world.when(CloneDrive(ME, "d", "copy", "j"))
    assert name_of(drive, "drive-copy") == NAMES[naming]
    server = world.when(CloneServer(ME, "s", "copy", "j"))
    assert name_of(server, "server-copy") == NAMES[naming]
    assert name_of(server, "drive-new-1") == NAMES[naming]


def test_a_given_name_overrides_the_rule() -> None:
    """The disks of a server that is given one are still named as the owner likes."""
    world = given(
        EditProfile(ME, {}, "COUNTER"),
        ready_drive("d", disk("ember")),
        server_created("s", mount("d")),
    )
    assert name_of(world.when(CloneDrive(ME, "d", "copy", "j", name="x")), "drive-copy") == "x"
    server = world.when(CloneServer(ME, "s", "copy", "j", ServerEdit(name="x")))
    assert (name_of(server, "server-copy"), name_of(server, "drive-new-1")) == ("x", "ember_1")


def test_each_account_has_its_own_naming() -> None:
    """Each account has its own."""
    outcome = given(
        EditProfile(SOMEBODY_ELSE, {}, "COUNTER"), ready_drive("d", disk("ember"))
    ).when(CloneDrive(ME, "d", "copy", "j"))
    assert name_of(outcome, "drive-copy") == "ember"


def test_the_naming_survives_a_restart(opened: Opened, tmp_path: Path) -> None:
    """It is in the ledger, and what decides reads it there."""
    opened.do(
        EditProfile(ME, {}, "COUNTER"),
        CreateDrives(ME, (NewDrive("d", disk("ember")),), "blank"),
        MarkDriveReady("d"),
        EditDrive(ME, "d", name="ember_7"),
    )
    opened.close()
    with Opened(tmp_path / "ledger.sqlite") as again:
        again.do(CloneDrive(ME, "d", "copy", "j"))
        with again.snapshot() as snapshot:
            copy = snapshot.drive("copy", ME)
    assert copy is not None
    assert copy.definition.name == "ember_8"
