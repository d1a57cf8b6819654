"""How scripts/environment.sh makes .venv, and scripts/check uses it.

In a clone with tiny requirements and no network.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.harness.cases import in_turn

ROOT = Path(__file__).resolve().parents[3]
FAKE_UV = Path(__file__).with_name("fake_uv.py")
PATIENCE_S = 120
COMMANDS = ("bash", "cat", "chmod", "dirname", "env", "flock", "grep", "mkdir", "readlink")
COMMANDS += ("rm", "sh", "sort")
# Asking pip for its settings takes longer than all the rest.
PYTHON = """#!/bin/sh
[ "$*" = "-P -m pip config list" ] && [ -z "$PIP_HAS_SETTINGS" ] && exit 0
exec "{}" "$@"
"""
REAL_UV = shutil.which("uv")


def make_wheel(folder, name, version, files):
    """A wheel as pip and uv take it; returns the requirement that pins it."""
    info = f"{name}-{version}.dist-info"
    files = files | {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest())
        record += f"{path},sha256={digest.decode().rstrip('=')},{len(content)}\n"
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in {**files, f"{info}/RECORD": f"{record}{info}/RECORD,,\n"}.items():
            entry = zipfile.ZipInfo(path)
            entry.external_attr = (0o100755 if "/scripts/" in path else 0o100644) << 16
            archive.writestr(entry, content)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


class Clone:
    """A clone in a folder with a space, on a machine with nothing but the commands it needs."""

    def __init__(self, machine):
        self.root = machine / "a clone"
        self.machine = machine
        self.log = machine / "uv.log"
        self.wheels = machine / "wheels"
        self.bin = machine / "bin"
        for folder in (self.root / "scripts", self.wheels, self.bin, machine / "home"):
            folder.mkdir(parents=True)
        shutil.copy(ROOT / "scripts/environment.sh", self.root / "scripts")
        for command in COMMANDS:
            (self.bin / command).symlink_to(shutil.which(command))
        python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
        (self.bin / "python3").write_text(PYTHON.format(python))
        (self.bin / "python3").chmod(0o755)
        tiny, extra = (self.wheel(name, "1.0") for name in ("tiny", "extra"))
        self.write("requirements.txt", tiny)
        self.write("requirements-test.txt", tiny + extra)
        self.write("scripts/requirements-uv.txt", f"uv==9.9 --hash=sha256:{'0' * 64}\n")
        self.environment = {
            "PATH": str(self.bin),
            "HOME": str(machine / "home"),
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "FAKE_UV_LOG": str(self.log),
            "FAKE_UV_WHEELS": str(self.wheels),
        }

    def wheel(self, name, version):
        return make_wheel(self.wheels, name, version, {f"{name}.py": f"VERSION = '{version}'\n"})

    def write(self, name, content):
        (self.root / name).write_text(content)

    def put_uv_on_the_path(self):
        shutil.copy(FAKE_UV, self.bin / "uv")
        (self.bin / "uv").chmod(0o755)

    def start(self, kind="runtime", **environment):
        return subprocess.Popen(
            ["bash", "-c", f"source scripts/environment.sh; prepare_environment {kind}"],
            cwd=self.root,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def try_to_prepare(self, kind="runtime", **environment):
        with self.start(kind, **environment) as process:
            said = process.communicate(timeout=PATIENCE_S)[1]
        return process.returncode, said

    def prepare(self, kind="runtime", **environment):
        """What was said."""
        code, said = self.try_to_prepare(kind, **environment)
        assert code == 0, said
        return said

    @property
    def site(self):
        return next((self.root / ".venv/lib").glob("python3.*/site-packages"))

    def installed(self):
        return sorted(info.name for info in self.site.glob("*.dist-info"))

    def version(self):
        """What the installed package itself says."""
        command = [self.root / ".venv/bin/python", "-c", "import tiny; print(tiny.VERSION)"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def uv_calls(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stamps(self):
        return sorted(stamp.name for stamp in (self.root / ".venv").glob(".stamp-*"))


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


@pytest.fixture
def clone_with_uv(clone):
    clone.put_uv_on_the_path()
    return clone


def test_uv_on_the_path_installs_with_hashes_and_no_pip(clone_with_uv):
    said = clone_with_uv.prepare()

    assert "pip" not in said
    [call] = clone_with_uv.uv_calls()
    assert "--require-hashes" in call["arguments"]
    assert clone_with_uv.installed() == ["tiny-1.0.dist-info"]
    assert clone_with_uv.version() == "1.0"


def test_uv_is_told_where_the_machines_pip_finds_packages(clone_with_uv):
    (clone_with_uv.machine / "pip.conf").write_text(
        "[global]\nindex-url = https://overridden.test/simple\n"
        "extra-index-url =\n    https://one.test/simple\n    https://two.test/simple\n"
        "[install]\nindex-url = https://main.test/simple\ntrusted-host = main.test\n"
        "cert = /etc/main.pem\n"
    )
    pip_conf = str(clone_with_uv.machine / "pip.conf")
    configured = {"PIP_CONFIG_FILE": pip_conf, "PIP_HAS_SETTINGS": "1"}
    clone_with_uv.prepare(**configured)
    clone_with_uv.write("requirements.txt", clone_with_uv.wheel("tiny", "2.0"))
    clone_with_uv.prepare(**configured, UV_DEFAULT_INDEX="https://own.test/simple")

    as_pip, as_told = (call["environment"] for call in clone_with_uv.uv_calls())
    assert as_pip["UV_DEFAULT_INDEX"] == "https://main.test/simple"
    assert as_pip["UV_INDEX"] == "https://one.test/simple https://two.test/simple"
    assert as_pip["UV_FIND_LINKS"] == str(clone_with_uv.wheels)
    assert as_pip["UV_NO_INDEX"] == "1"
    assert as_pip["UV_INSECURE_HOST"] == "main.test"
    assert as_pip["SSL_CERT_FILE"] == "/etc/main.pem"
    assert as_told["UV_DEFAULT_INDEX"] == "https://own.test/simple"
    assert as_told["SSL_CERT_FILE"] == "/etc/main.pem"
    assert not {"UV_INDEX", "UV_FIND_LINKS", "UV_NO_INDEX"} & as_told.keys()


def test_the_pinned_uv_installs_where_none_is_on_the_path_and_does_not_stay(clone):
    script = {"uv-9.9.data/scripts/uv": FAKE_UV.read_text()}
    clone.write("scripts/requirements-uv.txt", make_wheel(clone.wheels, "uv", "9.9", script))

    said = clone.prepare()

    assert "pip" not in said
    assert len(clone.uv_calls()) == 1
    assert clone.version() == "1.0"
    assert clone.installed() == ["tiny-1.0.dist-info"]
    assert not list((clone.root / ".venv").rglob("uv*"))


def test_pip_installs_where_uv_has_another_hash_and_says_so_in_one_line(clone):
    make_wheel(clone.wheels, "uv", "9.9", {"uv-9.9.data/scripts/uv": FAKE_UV.read_text()})

    said = clone.prepare()

    assert not clone.log.exists()
    assert clone.version() == "1.0"
    assert clone.installed() == ["tiny-1.0.dist-info"]
    first, by_pip, last = said.splitlines()
    assert first.startswith("Making .venv from requirements.txt with Python 3.")
    assert by_pip.startswith("No uv here (ERROR: THESE PACKAGES DO NOT MATCH THE HASHES")
    assert by_pip.endswith("installing requirements.txt with pip, which takes longer ...")
    assert last.startswith("Made .venv in ")


def test_pip_takes_over_from_a_uv_that_fails_and_minds_hashes_too(clone_with_uv):
    pinned = (clone_with_uv.root / "requirements.txt").read_text()
    clone_with_uv.write("requirements.txt", pinned[:-9] + "00000000\n")

    code, said = clone_with_uv.try_to_prepare(UV_FAILS="1")

    assert code != 0
    assert "No uv here (error: out of order): installing requirements.txt with pip" in said
    assert "this line is too much" not in said
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in said
    assert clone_with_uv.stamps() == []


@pytest.mark.skipif(REAL_UV is None, reason="needs uv on the PATH")
def test_the_real_uv_is_called_as_it_understands_and_minds_hashes(clone):
    assert REAL_UV is not None
    # It may be a shim, which finds the real one on this PATH only.
    uv = clone.bin / "uv"
    uv.write_text(f'#!/bin/sh\nPATH="{os.environ["PATH"]}" exec "{REAL_UV}" "$@"\n')
    uv.chmod(0o755)
    assert "pip" not in clone.prepare(PIP_HAS_SETTINGS="1")
    assert clone.version() == "1.0"
    pinned = (clone.root / "requirements.txt").read_text()
    clone.write("requirements.txt", pinned[:-9] + "00000000\n")

    code, said = clone.try_to_prepare(PIP_HAS_SETTINGS="1", UV_NO_CACHE="1")

    assert code != 0
    assert "installing requirements.txt with pip" in said
    assert clone.stamps() == []


def test_what_is_unchanged_costs_no_installation(clone_with_uv):
    clone_with_uv.prepare()
    bytecode = clone_with_uv.site / "__pycache__"
    bytecode.mkdir(exist_ok=True)
    (bytecode / "tiny.cpython-311.pyc").write_bytes(b"written by running it")

    assert clone_with_uv.prepare() == ""
    assert len(clone_with_uv.uv_calls()) == 1


def add_a_package(site):
    (site / "more.py").touch()
    (site / "more-1.0.dist-info").mkdir()
    (site / "more-1.0.dist-info/RECORD").touch()


def put_another_version(site):
    (site / "tiny-1.0.dist-info").rename(site / "tiny-0.9.dist-info")


def replace_a_file(site):
    (site / "tiny.py").write_text((site / "tiny.py").read_text().replace("1.0", "6.6"))


def remove_a_file(site):
    (site / "tiny.py").unlink()


@in_turn("change", [add_a_package, put_another_version, replace_a_file, remove_a_file])
def test_what_another_tool_changed_is_made_anew(clone_with_uv, change):
    clone_with_uv.prepare()
    change(clone_with_uv.site)

    said = clone_with_uv.prepare()

    assert said.startswith("Something else changed the contents of .venv.\nMaking .venv from ")
    assert clone_with_uv.version() == "1.0"
    assert clone_with_uv.installed() == ["tiny-1.0.dist-info"]
    assert not (clone_with_uv.site / "more.py").exists()


def test_an_interrupted_one_is_made_anew(clone_with_uv):
    code, _ = clone_with_uv.try_to_prepare("test", UV_IS_KILLED="1")
    assert code != 0
    assert clone_with_uv.installed() == ["tiny-1.0.dist-info"]

    assert clone_with_uv.prepare("test").startswith("Making .venv from ")
    assert clone_with_uv.installed() == ["extra-1.0.dist-info", "tiny-1.0.dist-info"]


def test_a_moved_one_is_made_anew(clone_with_uv):
    clone_with_uv.prepare()
    clone_with_uv.root = clone_with_uv.root.rename(clone_with_uv.machine / "another place")

    assert clone_with_uv.prepare().startswith("Making .venv from ")
    for file in ("bin/job-ledger", "pyvenv.cfg", *clone_with_uv.site.glob("*.pth")):
        assert "a clone" not in (clone_with_uv.root / ".venv" / file).read_text()


def test_test_requirements_are_added_and_others_leave_nothing_over(clone_with_uv):
    clone_with_uv.prepare()
    assert clone_with_uv.prepare("test").startswith("Adding requirements-test.txt to .venv")
    assert clone_with_uv.installed() == ["extra-1.0.dist-info", "tiny-1.0.dist-info"]
    assert clone_with_uv.prepare() == clone_with_uv.prepare("test") == ""

    clone_with_uv.write(
        "requirements-test.txt", (clone_with_uv.root / "requirements.txt").read_text()
    )
    assert clone_with_uv.prepare("test").startswith("Making .venv from ")
    assert clone_with_uv.installed() == ["tiny-1.0.dist-info"]


def test_of_two_at_once_one_makes_it_and_the_other_waits(clone_with_uv):
    fifo = clone_with_uv.machine / "fifo"
    os.mkfifo(fifo)
    go_on = os.open(fifo, os.O_RDWR)
    first = clone_with_uv.start(UV_WAITS_FOR=str(fifo))
    assert first.stderr.readline().startswith("Making .venv from ")
    second = clone_with_uv.start(UV_WAITS_FOR=str(fifo))
    second_said = second.stderr.readline()
    os.write(go_on, b"ab")

    assert second_said.startswith("Waiting for another run that makes .venv")
    assert first.communicate(timeout=PATIENCE_S)[1].startswith("Made .venv in ")
    assert second.communicate(timeout=PATIENCE_S)[1] == ""
    assert first.returncode == second.returncode == 0
    assert len(clone_with_uv.uv_calls()) == 1
    os.close(go_on)


CHECKS = ["ruff format --check .", "ruff check .", "lint-imports --no-logo", "mypy "]


def run_checks(clone, **environment):
    """Run `scripts/check` with tools that print how they are called; its code and their calls."""
    tool = '#!/bin/sh\necho "called: ${0##*/} $*"\n[ "$FAILS" != "${0##*/} $1" ] || exit 3\n'
    tools = {f"extra-2.0.data/scripts/{name}": tool for name in ("ruff", "lint-imports", "mypy")}
    extra = make_wheel(clone.wheels, "extra", "2.0", tools)
    clone.write("requirements-test.txt", clone.wheel("tiny", "1.0") + extra)
    shutil.copy(ROOT / "scripts/check", clone.root / "scripts")
    done = subprocess.run(
        ["bash", "scripts/check"],
        cwd=clone.root,
        env=clone.environment | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    lines = done.stdout.splitlines()
    return done.returncode, [line.removeprefix("called: ") for line in lines if "called" in line]


@in_turn(
    ("fails", "code", "called"),
    [
        ("nothing", 0, CHECKS),
        ("ruff check", 3, CHECKS[:2]),
        ("lint-imports --no-logo", 3, CHECKS[:3]),
    ],
)
def test_the_checks_end_with_the_first_that_fails(clone, fails, code, called):
    assert run_checks(clone, FAILS=fails) == (code, called)
