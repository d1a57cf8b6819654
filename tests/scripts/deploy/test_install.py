"""`scripts/install`, in a mount namespace of its own with other directories in place of /opt, /etc,
/var/lib, /usr/local/bin and /run, where systemd seems to be.

A `uv` that copies what is installed here stands in for the one that downloads.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from tests.support.cluster import DEPLOY
from tests.support.processes import ROOT
from tests.support.wait import PATIENCE_S

README = (DEPLOY / "README.md").read_text(encoding="utf-8")
PLACES = ("opt", "etc", "var/lib", "usr/local/bin", "run")
UV = """#!/bin/sh
[ "$1 $2" = "pip install" ] || exit 0
while [ "$1" != --python ]; do shift; done
cp -r "{click}" "$("$2" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
"""
# Asking pip for its settings takes longer than all the rest.
PYTHON = """#!/bin/sh
[ "$*" = "-P -m pip config list" ] && exit 0
exec /usr/bin/python3 "$@"
"""
SYSTEMCTL = """#!/bin/sh
echo systemctl "$@"
"""
COPIED = ("api", "ledger", "projections", "scripts", "LICENSE", "README.md", "pyproject.toml")
LEFT_OUT = ("__pycache__", "benchmarks", "page", "resources", "http", "accounts", "store", "views")
"""Bytecode is made of the rest only, which can say its version."""
RESTART = (
    "systemctl daemon-reload\n"
    "systemctl try-restart job-ledger.service job-ledger-worker@*.service\n"
)
DATA, SETTINGS = "var/lib/job-ledger", "etc/job-ledger"
CURRENT = "opt/job-ledger/current"


def may_unshare() -> bool:
    return subprocess.run(["unshare", "--mount", "true"], check=False).returncode == 0


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not may_unshare(), reason="needs root, and mount namespaces"
)


class Computer:
    """A computer without the job ledger, and a checkout of ours on it."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.checkout = directory / "a checkout"
        for place in PLACES:
            (self.root / place).mkdir(parents=True)
        (self.root / "run/systemd/system").mkdir(parents=True)
        shutil.copytree("/etc", self.root / "etc", symlinks=True, dirs_exist_ok=True)
        uv = UV.format(click=Path(click.__file__).parent)
        for name, script in (("uv", uv), ("python3", PYTHON), ("systemctl", SYSTEMCTL)):
            (self.root / "usr/local/bin" / name).write_text(script)
            (self.root / "usr/local/bin" / name).chmod(0o755)
        ignored = shutil.ignore_patterns(*LEFT_OUT)
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.checkout / name, ignore=ignored)
            else:
                shutil.copy(ROOT / name, self.checkout)
        (self.checkout / "requirements.txt").write_text("")
        (self.checkout / "ledger/codec.py").chmod(0o600)  # as under a strict umask

    def run(self, command: str) -> str:
        """Run it in a shell, in the checkout; return what it prints."""
        mounts = "".join(f"mount --bind '{self.root}/{place}' /{place} && " for place in PLACES)
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", f"{mounts} exec bash -euc '{command}'"],
            cwd=self.checkout,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def install(self, *options: str) -> str:
        return self.run(" ".join(("scripts/install", *options)))

    def new_version(self, version: str) -> None:
        project = self.checkout / "pyproject.toml"
        project.write_text(
            re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', project.read_text())
        )

    def files(self) -> dict[str, tuple[int, float]]:
        """Return every file by its path, with its inode and time."""
        found = (path for path in self.root.rglob("*") if path.is_symlink() or path.is_file())
        states = {str(path.relative_to(self.root)): path.lstat() for path in found}
        return {path: (state.st_ino, state.st_mtime) for path, state in states.items()}

    def paths(self) -> set[str]:
        """Return all there is, directories too."""
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*")}

    def mode_and_owner(self, path: str) -> str:
        return self.run(f'stat -c "%a %U:%G" /{path}').strip()


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    tmp_path.chmod(0o755)
    return Computer(tmp_path)


def test_an_installation_an_upgrade_and_the_way_back(computer: Computer) -> None:
    """Data and settings stay in each, and what is there already is left alone."""
    before, paths = computer.files(), computer.paths()
    plan = computer.install("--dry-run")
    assert (computer.files(), computer.paths()) == (before, paths)
    assert "useradd --system" in plan

    install, uninstall = re.findall(r"^```sh install\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    said = computer.run(install)
    assert computer.run(f"ls /{CURRENT}/api/cli/__pycache__/"), "a service may not write it"
    assert "systemctl enable --now job-ledger" in said
    assert computer.run("job-ledger --version").startswith("job-ledger ")
    assert RESTART in said
    user = computer.run("getent passwd job-ledger").strip().split(":")
    assert user[5:] == [f"/{DATA}", "/usr/sbin/nologin"]
    assert computer.mode_and_owner(DATA) == "700 job-ledger:job-ledger"
    assert computer.mode_and_owner(SETTINGS) == "750 root:job-ledger"
    assert computer.mode_and_owner(f"{SETTINGS}/serve.env") == "640 root:job-ledger"
    unit = computer.root / "etc/systemd/system/job-ledger.service"
    assert computer.mode_and_owner("etc/systemd/system/job-ledger.service") == "644 root:root"
    assert unit.read_text() == (DEPLOY / "job-ledger.service").read_text()
    started = re.search(r"^ExecStart=(\S+)", unit.read_text(), re.MULTILINE)
    assert started
    as_service = f"setpriv --reuid=job-ledger --regid=job-ledger --clear-groups {started[1]}"
    assert computer.run(f"{as_service} --version").startswith("job-ledger ")

    writable = f"find -L /{CURRENT}/ -type f ! -perm 0644 ! -perm 0755"
    assert computer.run(writable) == ""

    installed = computer.files()
    assert RESTART not in computer.install()
    assert computer.files() == installed

    (computer.root / DATA / "ledger.sqlite").write_text("the ledger")
    (computer.root / SETTINGS / "serve.env").write_text("JOB_LEDGER_PORT=1\n")
    current = computer.root / CURRENT
    first = current.readlink()
    computer.new_version("99.1")
    assert RESTART in computer.install()
    upgraded = current.readlink()
    assert upgraded != first
    assert computer.run("job-ledger --version").startswith("job-ledger 99.1\n")

    computer.run(uninstall)
    added = {path for path in computer.files().keys() - before.keys() if "etc/" not in path}
    assert added == {f"{DATA}/ledger.sqlite"}
    assert not unit.exists()
    assert (computer.root / DATA / "ledger.sqlite").read_text() == "the ledger"
    assert (computer.root / SETTINGS / "serve.env").read_text() == "JOB_LEDGER_PORT=1\n"


@pytest.mark.long
def test_a_release_that_cannot_run_does_not_replace_the_one_that_does(computer: Computer) -> None:
    """Of those that can, the one before is kept, to go back to."""
    current = computer.root / CURRENT
    releases = []
    for version in ("99.1", "99.2"):
        computer.new_version(version)
        computer.install()
        releases.append(current.readlink().name)
    program = computer.checkout / "api/cli/__init__.py"
    working = program.read_text()
    computer.new_version("99.3")
    program.write_text("raise SystemExit(1)")
    assert "what ran before stays" in computer.run("! scripts/install 2>&1")
    assert current.readlink().name == releases[1]
    program.write_text(working)
    computer.install()
    assert computer.run("job-ledger --version").startswith("job-ledger 99.3\n")
    left = {path.name for path in (computer.root / "opt/job-ledger/releases").iterdir()}
    assert left == {releases[1], current.readlink().name}
