"""The command line as a client: logging in, listing, showing, cloning, exporting."""

import csv
import io
import json
import re
import stat

import pytest

from api.client.errors import advice
from tests.acceptance.client import data_blocks, striped
from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server, run_command
from tests.commands.client.conftest import Shell, endless

UNKNOWN = "53f94b39-2bb6-4aca-80e7-c3ffa8d0224f"
HOSTILE = "\x1b]0;taken\x07\x1b[31mred \u202etxt.exe [bold]b[/bold] \n next"
COMMANDS = (
    ("jobs",),
    ("job", UNKNOWN),
    ("watch", UNKNOWN),
    ("drives",),
    ("servers",),
    ("keypairs",),
    ("clone", "drive", UNKNOWN),
    ("cancel", UNKNOWN),
    ("download", UNKNOWN),
    ("export",),
    ("logout",),
)


def test_a_login_is_kept_for_its_owner_only(server: Server, shell: Shell) -> None:
    """The token, and not the password, in a file with mode 0600; until it is given back."""
    shell.log_in(server)
    file = shell.home / "c" / "job-ledger" / "login.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    kept = json.loads(file.read_text())
    assert set(kept) == {"url", "token", "email"}
    assert shell.run("jobs").code == 0
    assert shell.run("logout").code == 0
    assert not file.exists()
    refused = shell.run("jobs", JOB_LEDGER_URL=kept["url"], JOB_LEDGER_TOKEN=kept["token"])
    assert refused.code == 3
    assert f"run `job-ledger login {kept['url']}" in refused.err


def test_the_environment_comes_first(machine: Machine, server: Server, shell: Shell) -> None:
    """Scripts need no file."""
    added = run_command("token", "add", EMAIL, "--data", str(machine.data))
    token = re.search(r"token: (\S+)", added.stdout)
    assert token
    said = {"JOB_LEDGER_URL": server.api.address, "JOB_LEDGER_TOKEN": token[1]}
    assert shell.run("jobs", "--json", **said).code == 0
    assert not (shell.home / "c").exists()


def test_half_a_login_in_the_environment_is_refused(server: Server, shell: Shell) -> None:
    """The other half is not taken from the file: the command might go to another service."""
    shell.log_in(server)
    for name in ("JOB_LEDGER_URL", "JOB_LEDGER_TOKEN"):
        done = shell.run("jobs", **{name: "http://127.0.0.1:1"})
        assert (done.code, "go together" in done.err) == (3, True)


def test_a_new_login_gives_the_earlier_token_back(
    machine: Machine, server: Server, shell: Shell
) -> None:
    """Tokens do not pile up; and a logout is of the file's token, whatever the environment says."""
    for _ in range(3):
        shell.log_in(server)
    kept = json.loads((shell.home / "c" / "job-ledger" / "login.json").read_text())
    listed = run_command("token", "list", "--data", str(machine.data))
    assert listed.stdout.count(EMAIL) == 1
    said = {"JOB_LEDGER_URL": server.api.address, "JOB_LEDGER_TOKEN": "jl_another"}
    assert shell.run("logout", **said).code == 0
    assert EMAIL not in run_command("token", "list", "--data", str(machine.data)).stdout
    assert kept["token"].startswith("jl_")


def test_a_login_that_cannot_be_kept_ends_none(server: Server, shell: Shell) -> None:
    shell.log_in(server)
    in_the_way = shell.home / "c" / "job-ledger" / "login.part"
    in_the_way.mkdir()
    login = ("login", server.api.address, "--email", EMAIL, "--password-stdin")
    assert shell.run(*login, stdin=f"{PASSWORD}\n").code == 1
    assert shell.run("jobs").code == 0


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_nobody_is_told_to_log_in(shell: Shell, words: tuple[str, ...]) -> None:
    """Every command says how, in one line."""
    done = shell.run(*words)
    assert done.code == 3
    assert done.err.startswith("Error: not logged in: run `job-ledger login URL")
    assert done.err.count("\n") == 1


def test_what_goes_wrong_says_what_to_do(server: Server, shell: Shell) -> None:
    """A wrong password, a service that is not there, something that is not one, and a 404."""
    login = ("login", server.api.address, "--email", EMAIL, "--password-stdin")
    assert "password is wrong" in shell.run(*login, stdin="wrong password\n").err
    away = ("login", "http://127.0.0.1:1", "--email", EMAIL, "--password-stdin")
    done = shell.run(*away, stdin="a password\n")
    assert (done.code, "is the service running there?" in done.err) == (3, True)
    shell.log_in(server)
    missing = shell.run("job", UNKNOWN)
    assert (missing.code, "its history has been discarded" in missing.err) == (3, True)
    assert shell.run("login", "localhost", "--email", EMAIL).code == 2


@pytest.mark.parametrize(
    ("status", "path", "refusal", "words"),
    [
        (403, "/jobs/j/action/", "permission", "another role"),
        (403, "/jobs/j/action/", "state", ""),
        (403, "/jobs/j/action/", "", ""),
        (404, "/jobs/j/", "", "discarded"),
        (404, "/drives/d/action/", "", "may be deleted"),
        (404, "/drives/d/upload/", "", ""),
        (404, "/ledger/proofs/inclusion/", "", ""),
        (429, "/drives/", "", "wait a little"),
        (400, "/drives/", "", ""),
    ],
)
def test_advice_is_given_only_where_it_fits(
    status: int, path: str, refusal: str, words: str
) -> None:
    """A job that has ended is not a matter of roles, and a drive has no history to discard."""
    given = advice(status, path, refusal)
    assert words in given
    assert bool(given) == bool(words)


def test_what_is_too_late_is_no_matter_of_roles(server: Server, shell: Shell) -> None:
    """Neither for a job that has ended, nor for a drive that is being copied."""
    shell.log_in(server)
    clone = server.api.clone(server.api.upload(data_blocks(1)))
    server.api.succeed(clone.job)
    done = shell.run("cancel", clone.job)
    assert (done.code, done.err) == (3, f"Error: job {clone.job} has ended: success\n")


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        (("jobs", "--state", "banana"), "'started', 'success', 'failed', 'cancelled'"),
        (("jobs", "--state", "started,banana"), "'started', 'success', 'failed', 'cancelled'"),
        (("export", "--state", "running"), "'started', 'success', 'failed', 'cancelled'"),
        (("jobs", "--resource", "cedar"), "not a valid UUID"),
        (("jobs", "--resource", f"{UNKNOWN},cedar"), "not a valid UUID"),
        (("clone", "drive", UNKNOWN, "--avoid", "cedar"), "not a valid UUID"),
    ],
    ids=str,
)
def test_a_filter_that_cannot_match_is_refused(
    shell: Shell, words: tuple[str, ...], allowed: str
) -> None:
    """Before anything is asked; it says what is allowed."""
    done = shell.run(*words)
    assert (done.code, done.out) == (2, "")
    assert allowed in done.err


def test_jobs_are_listed_and_shown(server: Server, shell: Shell) -> None:
    """As tables, as a tree, with their events, as they were; and as JSON, whole."""
    api = server.api
    shell.log_in(server)
    disks = [api.upload(striped(2)), api.upload(striped(2))]
    clone = api.clone_server(api.create_server(*disks))
    api.succeed(clone.job)
    listed = shell.run("jobs", "--operation", "server_clone")
    assert clone.job in listed.out
    assert "100 %" in listed.out
    assert [job["uuid"] for job in json.loads(shell.run("jobs", "--json").out)["objects"]] == [
        job["uuid"] for job in api.jobs()
    ]
    tree = shell.run("job", clone.job, "--tree").out
    children = [child["uuid"] for child in api.job(clone.job)["children"]]
    assert [line[3:39] for line in tree.splitlines() if line[0] in "├└"] == children
    events = api.get(f"/jobs/{clone.job}/history/")["objects"]
    history = shell.run("job", clone.job, "--history")
    assert all(str(event["position"]) in history.out for event in events)
    said = " ".join(history.out.split())
    assert "operation: server_clone" in said
    assert f"uuid {clone.uuid}, role destination" in said
    assert not re.findall(r"None|[{}']", history.out)
    then = shell.run("job", clone.job, "--as-of", str(events[0]["position"]), "--json")
    assert json.loads(then.out)["state"] == "started"


def test_a_clone_is_waited_for(server: Server, shell: Shell) -> None:
    """Its exit code is the job's; the drive has the name that was asked for."""
    shell.log_in(server)
    source = server.api.upload(data_blocks(4))
    done = shell.run("clone", "drive", source, "--name", "willow", "--avoid", source, "--wait")
    assert done.code == 0, done.err
    found = re.match(r"drive (\S+)\njob (\S+)\n", done.out)
    assert found
    assert server.api.drive(found[1])["name"] == "willow"
    assert f"{found[2]} success 100 %" in done.out
    server_clone = shell.run("clone", "server", server.api.create_server(source), "--json")
    assert json.loads(server_clone.out)["jobs"]


def test_a_job_is_cancelled(slow: Server, shell: Shell) -> None:
    """And cannot be cancelled twice."""
    shell.log_in(slow)
    job = endless(slow.api)
    assert shell.run("cancel", job) == (0, f"cancelled {job}\n", "")
    assert slow.api.job(job)["state"] == "cancelled"
    again = shell.run("cancel", job)
    assert (again.code, again.err[:6]) == (3, "Error:")


def test_a_hostile_name_stays_text(server: Server, shell: Shell) -> None:
    """Nothing of it moves the cursor, colours or titles a terminal, or turns text around."""
    shell.log_in(server)
    drive = server.api.upload(striped(1))
    renamed = server.api.call("PUT", f"/drives/{drive}/", json={"name": HOSTILE})
    assert renamed.status_code == 200, renamed.text
    raw = shell.run("drives", "--json").out
    assert json.loads(raw)["objects"][0]["name"] == HOSTILE
    assert not set(raw) & set("\x1b\x07\u202e")
    piped, shown = shell.run("drives"), shell.run_on_terminal("drives")
    assert "[bold]b[/bold]" in piped.out
    for done in (piped, shown):
        assert done.code == 0
        assert "\x07" not in done.out
        assert "\u202e" not in done.out
        assert "\x1b]0;" not in done.out
        assert r"\u{1b}" in done.out


@pytest.mark.parametrize("kind", ["jobs", "drives"])
def test_a_page_says_how_to_get_the_next(server: Server, shell: Shell, kind: str) -> None:
    """In a list and in a walk, whose pages together have all there is; the last says nothing."""
    api = server.api
    shell.log_in(server)
    source = api.upload(striped(2))
    api.succeed(*(api.clone(source).job for _ in range(3)))
    there = sorted(each["uuid"] for each in api.get(f"/{kind}/?limit=0")["objects"])
    for option, begin in (("--offset", "0"), ("--after", "")):
        met, place = list[str](), begin
        while True:
            page = shell.run(kind, "--limit", "2", option, place)
            met += [uuid for uuid in there if uuid in page.out]
            if not page.err:
                break
            place = page.err.removeprefix(f"more: {option} ").strip()
        assert sorted(met) == there
    assert shell.run(kind, "--offset", "1", "--after", "").code != 0


def test_everything_is_exported(server: Server, shell: Shell) -> None:
    """All jobs, more than a page of them, the newest first, as JSON lines and as CSV."""
    shell.log_in(server)
    source = server.api.upload(striped(1))
    jobs = [server.api.clone(source).job for _ in range(205)]
    server.api.succeed(*jobs)
    whole = sorted(server.api.jobs(), key=lambda job: (job["created"], job["uuid"]), reverse=True)
    lines = shell.run("export").out.splitlines()
    assert [json.loads(line) for line in lines] == whole
    rows = list(csv.DictReader(io.StringIO(shell.run("export", "--format", "csv").out)))
    assert [(row["uuid"], row["state"], row["progress"]) for row in rows] == [
        (job["uuid"], job["state"], "100") for job in whole
    ]
    assert shell.run("export", "--state", "failed").out == ""


@pytest.mark.parametrize("kind", ["bash", "zsh", "fish"])
def test_shells_complete_it(shell: Shell, kind: str) -> None:
    """What is printed is for that shell, and names the command."""
    done = shell.run("completion", kind)
    assert done.code == 0
    assert f"_JOB_LEDGER_COMPLETE={kind}_complete" in done.out
