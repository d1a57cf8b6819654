"""The wheel and the source distribution: what is in them, and whether they work on their own."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.cluster import free_port
from tests.support.processes import ROOT
from tests.support.wait import PATIENCE_S, wait_for

PACKAGES = ("api", "ledger", "projections")
SHARED = {
    "examples/follower.py",
    *("HOWTO.md", "OPERATING.md", "monitoring/alerts.yml", "monitoring/dashboard.json"),
    *(f"deploy/{path.name}" for path in (ROOT / "scripts/deploy").iterdir()),
}
"""What operators need beside the program."""
REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8")
MINORS = (11, 12, 13)
INSTALLED_S = 15 * PATIENCE_S


class Built(NamedTuple):
    wheel: Path
    sdist: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    directory = tmp_path_factory.mktemp("dist")
    build(ROOT, directory)
    [wheel], [sdist] = directory.glob("*.whl"), directory.glob("*.tar.gz")
    return Built(wheel, sdist)


def build(project: Path, directory: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", directory],
        cwd=project,
        check=True,
        capture_output=True,
        timeout=PATIENCE_S,
    )


def files_below(*names: str) -> set[str]:
    """The project's files, without what Python and tools put beside them."""
    return {
        path.relative_to(ROOT).as_posix()
        for name in names
        for path in ((ROOT / name).rglob("*") if (ROOT / name).is_dir() else [ROOT / name])
        if path.is_file() and not {"__pycache__", ".hypothesis"} & {*path.parts}
    }


def test_the_wheel_has_what_runs(built: Built) -> None:
    """All of the three packages, the page and the SQL too; what operators need is beside them."""
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    info = {name for name in names if ".dist-info/" in name}
    shared = {name.partition("/share/job-ledger/")[2] for name in names if ".data/data/" in name}
    rest = names - info - {name for name in names if ".data/data/" in name}
    assert rest == files_below(*PACKAGES)
    assert shared >= SHARED
    assert any(name.endswith("licenses/LICENSE") for name in info)


def test_the_source_distribution_has_what_is_tested(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    single = ("LICENSE", "README.md", "pyproject.toml", "requirements.txt", "requirements-test.txt")
    assert names - {"PKG-INFO"} >= files_below(*PACKAGES, "scripts", "tests", ".ci", *single)


def test_the_sdk_is_a_distribution_of_its_own(tmp_path: Path) -> None:
    """One module and its command, which need nothing else."""
    build(ROOT / "api/sdk", tmp_path)
    [wheel] = tmp_path.glob("job_ledger_sdk-*.whl")
    with zipfile.ZipFile(wheel) as files:
        names = {name for name in files.namelist() if ".dist-info/" not in name}
        info = {name.rpartition("/")[2]: files.read(name).decode() for name in files.namelist()}
    assert names == {"job_ledger.py"}
    assert "jl = job_ledger:main" in info["entry_points.txt"]
    assert "Requires-Python: >=3.9" in info["METADATA"]
    assert "Requires-Dist" not in info["METADATA"]


@pytest.mark.long
def test_a_test_of_the_source_distribution(built: Built, tmp_path: Path) -> None:
    """From the unpacked files alone, without git."""
    with tarfile.open(built.sdist) as sdist:
        sdist.extractall(tmp_path, filter="data")
    [unpacked] = tmp_path.iterdir()
    tests = ("tests/ledger/test_codec.py", "tests/readme/test_names.py", "tests/scripts/packaging")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests],
        cwd=unpacked,
        capture_output=True,
        text=True,
        timeout=INSTALLED_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def python_of(minor: int) -> str | None:
    """A Python of this version that is on the machine, and makes virtual environments."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = (
        *versions.glob(f"3.{minor}.*/bin/python3"),
        *(Path(folder, f"python3.{minor}") for folder in os.get_exec_path()),
    )
    asked = ("-I", "-c", f"import sys, ensurepip; sys.exit(sys.version_info[1] != {minor})")
    return next(
        (
            str(each)
            for each in candidates
            if each.exists()
            and not subprocess.run([each, *asked], capture_output=True, check=False).returncode
        ),
        None,
    )


@pytest.fixture(params=MINORS, ids=lambda minor: f"3.{minor}")
def python(request: pytest.FixtureRequest) -> str:
    found = python_of(request.param)
    if found is None:
        pytest.skip(f"there is no Python 3.{request.param} here")
    return found


@pytest.fixture
def environment(python: str, tmp_path: Path) -> Iterator[Path]:
    """An empty virtual environment."""
    made = tmp_path / "environment"
    subprocess.run([python, "-m", "venv", made], check=True, timeout=PATIENCE_S)
    yield made
    shutil.rmtree(made)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_works_in_an_empty_environment(
    built: Built, environment: Path, tmp_path: Path, kind: str
) -> None:
    """Nothing is missing, and the service answers with the page, from wherever it is started."""
    bin_ = environment / "bin"
    kept = {name: value for name, value in os.environ.items() if name[:6] != "PYTHON"}

    def run(*words: str | Path) -> str:
        return subprocess.run(
            words, cwd=tmp_path, env=kept, check=True, stdout=subprocess.PIPE, text=True,
            timeout=INSTALLED_S,
        ).stdout  # fmt: skip

    pins = tmp_path / "pins.txt"  # without hashes, which what is built here has not got
    pins.write_text("\n".join(re.findall(r"^[\w.-]+==\S+", REQUIREMENTS, re.MULTILINE)))
    run(bin_ / "python", "-m", "pip", "install", "-q", "-c", pins, getattr(built, kind))
    run(bin_ / "python", "-m", "pip", "check")
    version = run(bin_ / "job-ledger", "--version")
    assert str(environment) in version
    assert run(bin_ / "job-ledger", "run", "--", "echo", "here") == "here\n"
    assert {path.name for path in environment.glob("share/job-ledger/*")} >= {
        "deploy",
        "monitoring",
    }
    assert not list(environment.glob("lib/python*/site-packages/scripts"))

    port = free_port()
    address = f"http://127.0.0.1:{port}"
    serve = [bin_ / "job-ledger", "serve", "--data", "data", "--port", str(port), "--reserve", "0"]
    with subprocess.Popen(serve, cwd=tmp_path, env=kept) as service:
        try:
            wait_for("it answers", lambda: get(f"{address}/readyz") is not None)
            assert b"<title>Job Ledger" in (get(f"{address}/") or b"")
            assert version.split()[1].encode() in (get(f"{address}/page/version.js") or b"")
        finally:
            service.terminate()
        assert service.wait(PATIENCE_S) == 0


def get(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - our service
            content: bytes = answer.read()
            return content
    except OSError:
        return None
