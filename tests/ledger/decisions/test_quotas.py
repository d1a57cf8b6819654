"""Quotas: what a command makes is within what its owner may have, or it is refused whole."""

from collections.abc import Callable

import pytest

from ledger.domain.aggregates.drive import LIBRARY
from ledger.domain.commands import Command
from ledger.domain.commands.drives import (
    CloneDrive,
    CreateDrives,
    DeleteDrives,
    EditDrive,
    EditDrives,
    MarkDriveReady,
    NewDrive,
)
from ledger.domain.commands.jobs import CancelJob, CreateJob, StartAttempt, SucceedJob
from ledger.domain.commands.servers import (
    CloneServer,
    CreateServers,
    DeleteServers,
    EditServer,
    NewServer,
    ServerEdit,
)
from ledger.domain.commands.tags import CreateTags, DeleteTag, EditTag, NewTag
from ledger.domain.errors.quotas import QuotaExceeded, TooManyUploads
from ledger.domain.quotas import Quotas
from tests.support.deciding import Given, History, given
from tests.support.world import (
    ME,
    SOMEBODY_ELSE,
    Foreseen,
    cdrom,
    disk,
    machine,
    mount,
    ready_drive,
    server_created,
)

Make = Callable[[str], Command]


def within(quotas: Quotas, *history: History) -> Given:
    return given(*history, environment=Foreseen(quotas=quotas))


def new_drives(*uuids: str, owner: str = ME) -> CreateDrives:
    return CreateDrives(owner, tuple(NewDrive(uuid, disk()) for uuid in uuids), "blank")


def upload(uuid: str, owner: str = ME) -> CreateDrives:
    return CreateDrives(owner, (NewDrive(uuid, disk(), "fast"),), "chunked")


def new_server(uuid: str) -> CreateServers:
    return CreateServers(ME, (NewServer(uuid, machine(), (), (), "secret"),))


def new_tag(uuid: str) -> CreateTags:
    return CreateTags(ME, (NewTag(uuid, uuid),))


def new_job(uuid: str) -> CreateJob:
    return CreateJob(ME, uuid, "x")


@pytest.mark.parametrize(
    ("quotas", "make", "end"),
    [
        (Quotas(drives=2), new_drives, DeleteDrives(ME, ("a",))),
        (Quotas(servers=2), new_server, DeleteServers(ME, ("a",), "none")),
        (Quotas(tags=2), new_tag, DeleteTag(ME, "a")),
        (Quotas(jobs_running=2), new_job, CancelJob(ME, "a")),
    ],
)
def test_no_more_than_the_quota(quotas: Quotas, make: Make, end: Command) -> None:
    """The next is refused until one has gone."""
    two = make("a"), make("b")
    within(quotas, *two).when(make("c")).then_refused(QuotaExceeded, "may have no more")
    accepted = within(quotas, *two, end).when(make("c"))
    assert accepted.refusal is None


def test_jobs_that_have_ended_are_kept_and_count() -> None:
    """Until they are discarded, which their owner cannot do."""
    ended = new_job("a"), StartAttempt("a", 1, "w"), SucceedJob("a", 1)
    assert within(Quotas(jobs_running=1), *ended).when(new_job("b")).refusal is None
    within(Quotas(jobs_kept=1), *ended).when(new_job("b")).then_refused(QuotaExceeded)


def tagged(tag: str, *things: str) -> CreateTags:
    return CreateTags(ME, (NewTag(tag, tag, {}, things),))


THREE = (ready_drive("a"), ready_drive("b"), server_created("s"), new_tag("t"), new_tag("u"))


def test_no_more_drives_and_servers_than_a_tag_may_have() -> None:
    """By whichever command they get it; others may take their place."""
    two = within(Quotas(things_per_tag=2), THREE, EditTag(ME, "t", resources=("a", "s")))
    refused: tuple[Command, ...] = (
        EditTag(ME, "t", resources=("a", "b", "s")),
        EditDrive(ME, "b", tags=("t",)),
        EditServer(ME, "s", ServerEdit(), tags=("t", "u")),
        tagged("v", "a", "b", "s"),
        CloneServer(ME, "s", "copy", "j"),
        CreateDrives(ME, (NewDrive("c", disk(), tags=("u", "t")),), "blank"),
    )
    words = "the tag has 2 drives and servers, and may have no more: remove it from some"
    for command in refused[:2] + refused[3:]:
        two.when(command).then_refused(QuotaExceeded, words)
    for command in (refused[2], EditTag(ME, "t", resources=("a", "b")), tagged("v", "a", "b")):
        assert two.when(command).refusal is None


def test_no_more_tags_than_a_drive_or_server_may_have() -> None:
    """Those that it has may be replaced by as many."""
    one = within(Quotas(tags_per_thing=1), THREE, EditTag(ME, "t", resources=("a", "s")))
    words = "the drive or server has 1 tags, and may have no more: remove some"
    for command in (
        EditTag(ME, "u", resources=("s",)),
        EditDrive(ME, "a", tags=("t", "u")),
        EditServer(ME, "s", ServerEdit(), tags=("u", "t")),
        tagged("v", "a"),
    ):
        one.when(command).then_refused(QuotaExceeded, words)
    for command in (EditDrive(ME, "a", tags=("u",)), EditTag(ME, "u", resources=("b",))):
        assert one.when(command).refusal is None


def test_what_a_tag_has_beyond_a_lower_quota_it_keeps() -> None:
    """It can be shown, renamed, sent back as it is, and taken off."""
    quotas = Quotas(things_per_tag=1, tags_per_thing=1)
    had = given(THREE, EditDrive(ME, "a", tags=("t", "u")), EditDrive(ME, "b", tags=("t",)))
    had._circumstances = Foreseen(quotas=quotas)
    for command in (
        EditTag(ME, "t", "oak", None, ("a", "b")),
        EditDrive(ME, "a", name="oak", tags=("t", "u")),
        EditDrive(ME, "a", tags=("t",)),
        DeleteTag(ME, "t"),
        DeleteDrives(ME, ("a",)),
    ):
        assert had.when(command).refusal is None


def test_no_more_servers_than_may_mount_a_drive() -> None:
    """Its deletion changes all of them. Whoever has it keeps it; those of the library are free."""

    def mounting(server: str, drive: str) -> CreateServers:
        return CreateServers(ME, (NewServer(server, machine(), (mount(drive),), (), "hush"),))

    cd = ready_drive("cd", definition=cdrom())
    library = ready_drive("iso", owner=LIBRARY, definition=cdrom())
    both = [mounting("s", "cd"), mounting("t", "cd")]
    two = within(Quotas(servers_per_drive=2), cd, library, both, mounting("bare", "iso"))
    words = "the drive has 2 servers that mount it, and may have no more: take it from some"
    for command in (
        mounting("u", "cd"),
        EditServer(ME, "bare", ServerEdit(), mounts=(mount("cd"),)),
        CloneServer(ME, "s", "copy", "j"),
    ):
        two.when(command).then_refused(QuotaExceeded, words)
    for command in (
        EditServer(ME, "s", ServerEdit(name="oak"), mounts=(mount("cd"),)),
        DeleteDrives(ME, ("cd",)),
        mounting("u", "iso"),
        mounting("v", "iso"),
    ):
        assert two.when(command).refusal is None


def test_no_more_tags_change_at_once_than_others_can_wait_for() -> None:
    """Whatever a request names; things can be deleted one by one, however many tags they have."""
    two = within(Quotas(tag_changes=2), THREE, EditTag(ME, "t", resources=("a", "s")))
    all_of_b = EditDrive(ME, "b", tags=("t", "u"))
    words = "the request has 2 changes of tags, and may have no more: name fewer"
    for refused in (
        EditTag(ME, "u", resources=("a", "b", "s")),
        tagged("v", "a", "b", "s"),
        EditDrives((EditDrive(ME, "a", tags=("u",)), all_of_b)),
        CreateDrives(ME, tuple(NewDrive(c, disk(), tags=("u",)) for c in "cde"), "blank"),
    ):
        two.when(refused).then_refused(QuotaExceeded, words)
    for command in (EditTag(ME, "t", resources=("b", "s")), all_of_b, tagged("v", "a", "b")):
        assert two.when(command).refusal is None
    one = within(Quotas(tag_changes=1), THREE, all_of_b, EditDrive(ME, "a", tags=("t",)))
    one.when(DeleteDrives(ME, ("a", "b"))).then_refused(QuotaExceeded)
    assert one.when(DeleteDrives(ME, ("b",))).refusal is None


def test_a_command_is_refused_whole() -> None:
    """Of three drives with room for two none is made."""
    refused = within(Quotas(drives=2)).when(new_drives("a", "b", "c"))
    refused.then_refused(QuotaExceeded)
    assert within(Quotas(drives=2), new_drives("a")).when(new_drives("b")).refusal is None


def test_the_words_name_the_quota_and_what_helps() -> None:
    refused = within(Quotas(drives=1_000), [new_drives(f"d{nth}") for nth in range(1_000)])
    outcome = refused.when(new_drives("one more"))
    outcome.then_refused(
        QuotaExceeded, "the account has 1,000 drives, and may have no more: delete some"
    )
    assert isinstance(outcome.refusal, QuotaExceeded)
    assert outcome.refusal.resource == "drives"


def test_what_others_have_does_not_count() -> None:
    """Neither another account's drives, nor the library's, which has no quota."""
    quotas = Quotas(drives=1)
    theirs = new_drives("x", owner=SOMEBODY_ELSE)
    library = [new_drives(uuid, owner=LIBRARY) for uuid in ("l1", "l2")]
    assert within(quotas, theirs, library).when(new_drives("a")).refusal is None


@pytest.mark.parametrize(
    ("quotas", "fits"),
    [
        (Quotas(drives=5), True),
        (Quotas(drives=4), False),
        (Quotas(servers=2), True),
        (Quotas(servers=1), False),
        (Quotas(jobs_running=3), True),
        (Quotas(jobs_running=2), False),
        (Quotas(jobs_kept=3), True),
        (Quotas(jobs_kept=2), False),
    ],
)
def test_the_clone_of_a_server_counts_as_all_that_it_makes(quotas: Quotas, *, fits: bool) -> None:
    """Its server, a drive for each disk but for no cdrom, and a job for each, and one above."""
    server = (
        [ready_drive(uuid) for uuid in ("a", "b")],
        ready_drive("cd", cdrom()),
        server_created("s", mount("a"), mount("b", 1), mount("cd", 2)),
    )
    outcome = within(quotas, *server).when(CloneServer(ME, "s", "copy", "j"))
    if fits:
        assert outcome.refusal is None
    else:
        outcome.then_refused(QuotaExceeded)


def test_a_clone_beyond_the_quota_is_refused_before_it_is_made() -> None:
    """However many disks it has: not one of them is given an id."""
    foreseen = Foreseen(quotas=Quotas(jobs_running=3))
    server = (
        [ready_drive(f"d{nth}") for nth in range(4)],
        server_created("s", *(mount(f"d{nth}", nth) for nth in range(4))),
    )
    refused = given(*server, environment=foreseen).when(CloneServer(ME, "s", "copy", "j"))
    refused.then_refused(QuotaExceeded)
    assert foreseen.new_id() == "new-1"


def test_the_clone_of_a_drive_is_a_drive_and_a_job() -> None:
    clone = CloneDrive(ME, "a", "copy", "j")
    for quotas in (Quotas(drives=1), Quotas(jobs_running=1), Quotas(jobs_kept=1)):
        history = ready_drive("a"), new_job("busy")
        within(quotas, *history).when(clone).then_refused(QuotaExceeded)


def test_an_upload_counts_until_its_image_is_there() -> None:
    """Whether it is finished, or its drive deleted."""
    quotas = Quotas(unfinished_uploads=1)
    begun = within(quotas, upload("a"))
    begun.when(upload("b")).then_refused(TooManyUploads, "the account has 1 uploads")
    for end in (MarkDriveReady("a"), DeleteDrives(ME, ("a",))):
        assert within(quotas, upload("a"), end).when(upload("b")).refusal is None
    finished = upload("a"), MarkDriveReady("a"), upload("b"), DeleteDrives(ME, ("a",))
    within(quotas, *finished).when(upload("c")).then_refused(TooManyUploads)


def test_uploads_of_all_accounts_count_together() -> None:
    quotas = Quotas(unfinished_uploads_of_all=2)
    begun = within(quotas, upload("a"), upload("b", SOMEBODY_ELSE))
    begun.when(upload("c")).then_refused(TooManyUploads, "the service has 2 uploads")
    assert begun.when(new_drives("d")).refusal is None


def test_what_ends_something_is_never_refused() -> None:
    """Also with more than the quota, as after it was lowered."""
    above = [new_drives("a", "b"), new_job("j")]
    world = given(*above)
    world._circumstances = Foreseen(quotas=Quotas(drives=1, jobs_running=1, jobs_kept=1))
    assert world.when(DeleteDrives(ME, ("a",))).refusal is None
    assert world.when(CancelJob(ME, "j")).refusal is None
