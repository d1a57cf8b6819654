"""The container image of `scripts/deploy`: it has what `scripts/install` installs, and runs."""

import asyncio
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from asyncio.subprocess import DEVNULL
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from api.cli import cli
from api.http.edge.proxies import TrustedProxies
from api.service.settings import load_settings
from tests.scripts.deploy.test_units import INSTALLED, SERVE, parsed
from tests.support.cluster import DEPLOY, free_port
from tests.support.processes import ROOT
from tests.support.wait import PATIENCE_S, wait_for

CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8").replace("\\\n", " ")
INSTALL = (ROOT / "scripts/install").read_text(encoding="utf-8")
USER, DATA = "job-ledger", "/var/lib/job-ledger"
KEYS = {
    *("build", "cap_drop", "environment", "healthcheck", "image", "ports", "read_only", "restart"),
    *("security_opt", "stop_grace_period", "tmpfs", "volumes"),
}
"""What a service in a compose file may have; a name that is misspelt is refused by composers."""
BUILT_S = 30 * PATIENCE_S
ENGINES = {"buildah": ("buildah",), "podman": ("podman", "runc")}
"""The programs that build the image, and what each of them needs to run it."""
IMAGE = "localhost/job-ledger"
COMPOSED = """
ip link set lo up
compose() { podman-compose -p ledger -f "$COMPOSE" "$@"; }
within() { podman exec ledger_job-ledger_1 "$@"; }
wait_for_it() { timeout "$PATIENCE_S" bash -c 'until curl -fs "$URL/readyz"; do sleep 0.2; done'; }
trap 'compose down -t 45 -v' EXIT
compose up -d
wait_for_it
podman healthcheck run ledger_job-ledger_1
within job-ledger account add ada@example.test
if within touch /opt/job-ledger/current/x; then exit 1; fi
curl -fs -H 'X-Forwarded-Proto: https' -H 'X-Forwarded-Host: ledger.test' "$URL/api/2.0/locations/"
compose stop -t 45
podman inspect ledger_job-ledger_1 --format 'ended with {{.State.ExitCode}}'
compose start
wait_for_it
within job-ledger account list
within job-ledger doctor
"""
BUILD_TOOLS = "cc gcc make pip pip3 git curl"


def steps(name: str) -> list[str]:
    """What the steps of this name say, in order."""
    return [" ".join(found.split()) for found in re.findall(rf"(?m)^{name} +(.*)$", CONTAINERFILE)]


def environment() -> dict[str, str]:
    return dict(word.split("=", 1) for step in steps("ENV") for word in step.split())


def health_check() -> list[str]:
    words: list[str] = json.loads(steps("HEALTHCHECK")[0].partition("CMD ")[2])
    return words


def test_it_copies_what_is_installed() -> None:
    """Each file that the script takes is there, by the script's own list."""
    [program] = re.findall(r"^program=\((.*?)\)$", INSTALL, re.MULTILINE | re.DOTALL)
    copied = {source for step in steps("COPY") for source in step.split()[:-1]}
    for path in program.split():
        assert path in copied or path.split("/", maxsplit=1)[0] in copied, path
    assert all((ROOT / path).exists() for path in copied if path[0] not in "-/")
    assert "/src/scripts/install --program-only" in steps("RUN")[1]


def test_it_agrees_with_the_script_and_the_units() -> None:
    """On the user, its home, the place of the program and the way to run it."""
    for name, value in (("user", USER), ("data", DATA)):
        assert re.search(rf"^{name}={value}$", INSTALL, re.MULTILINE)
    assert "--from=build /opt/job-ledger /opt/job-ledger" in steps("COPY")[-1]
    last = steps("RUN")[-1]
    assert f"--home-dir {DATA}" in last
    assert last.count(INSTALLED) == 1
    assert steps("USER") == [USER]
    assert steps("VOLUME") == [environment()["JOB_LEDGER_DATA"]] == [DATA]
    assert steps("ARG")[0].startswith("BASE=")
    python, script = health_check()
    assert python == str(Path(INSTALLED).with_name("python"))
    current, _, path = script.partition("/current/")
    assert INSTALLED.startswith(f"{current}/current/")
    assert (ROOT / path).exists()
    assert path.startswith("scripts/deploy/"), "the script installs that"
    assert [shlex.quote(word) for word in health_check()] == health_check()


def test_what_it_starts_is_a_command_with_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(steps("ENTRYPOINT")[0]) == ["job-ledger"]
    [name] = json.loads(steps("CMD")[0])
    assert cli.get_command(click.Context(cli), name) is not None
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    [service] = compose["services"].values()
    for key, value in {**environment(), **service["environment"]}.items():
        monkeypatch.setenv(key, value)
    settings = load_settings()
    assert (str(settings.data), settings.host, settings.port) == (DATA, "0.0.0.0", 8080)  # noqa: S104
    trusted = TrustedProxies(settings.trusted_proxies)
    for gateway in ("172.17.0.1", "172.31.0.1", "10.88.0.1", "10.89.0.1"):  # Docker's, Podman's
        assert trusted.is_trusted(gateway)
    assert not trusted.is_trusted("203.0.113.1")
    assert service["ports"] == [f"127.0.0.1:8080:{settings.port}"]
    assert set(service) <= KEYS
    assert service["volumes"] == [f"ledger:{DATA}"]
    assert list(compose["volumes"]) == ["ledger"]
    assert service["stop_grace_period"] == f"{parsed(SERVE)['TimeoutStopSec']}s"
    assert service["healthcheck"]["test"] == ["CMD", *health_check()]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()


@pytest.mark.parametrize(
    ("status", "code"), [(200, 0), (503, 1), (None, 1)], ids=["ready", "not ready", "no answer"]
)
async def test_the_health_check_asks_the_service(status: int | None, code: int) -> None:
    """By the port that the environment names, and without a proxy of the environment."""
    port = free_port()

    async def ready(_: web.Request) -> web.Response:
        return web.Response(status=status or 0)

    app = web.Application()
    app.router.add_get("/readyz", ready)
    server = TestServer(app, port=port)
    if status is not None:
        await server.start_server()
    environment = {"JOB_LEDGER_PORT": str(port), "http_proxy": "http://127.0.0.1:9"}
    check = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", DEPLOY / "is_ready.py"), env=environment, stderr=DEVNULL
    )
    assert await check.wait() == code
    await server.close()


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="there is no docker-compose")
def test_a_composer_understands() -> None:
    """Every line: the file is judged by the published schema, and its volume is declared."""
    shown = yaml.safe_load(run("docker-compose", "-f", DEPLOY / "compose.yaml", "config"))
    [service] = shown["services"].values()
    assert service["build"]["context"] == str(ROOT)
    assert set(shown["volumes"]) == {service["volumes"][0].partition(":")[0]}


def run(*words: str | Path, **options: Any) -> str:
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=BUILT_S, check=False, cwd=ROOT, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Engine:
    """A program that builds images and runs containers, with a store of its own.

    buildah needs no control groups to run them. podman does; its usual runtime takes no mixture of
    their two versions, which some machines have, but runc does. It may raise no limits of ours.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        storage, containers = (directory / name for name in ("storage.conf", "containers.conf"))
        storage.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{directory}/images"\n'
            f'runroot = "{directory}/run"\n'
        )
        containers.write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'[network]\nnetwork_config_dir = "{directory}/networks"\n'
        )
        self.environment = {
            **os.environ,
            "CONTAINERS_CONF": str(containers),
            "CONTAINERS_STORAGE_CONF": str(storage),
        }

    def __call__(self, *words: str | Path) -> str:
        return run(self.name, *words, env=self.environment)

    def build(self, tag: str, file: Path, context: Path, *options: str) -> None:
        self(
            *("build", "--isolation", "chroot", "--format", "docker", "--layers=false", "--quiet"),
            *(*options, "-t", tag, "-f", file, context),
        )

    def in_container(self, *words: str, port: int, data: Path) -> list[str]:
        """Return the command line that runs something in one, as a process of this machine."""
        options = ("--env", f"JOB_LEDGER_PORT={port}", "--volume", f"{data}:{DATA}")
        if self.name == "buildah":
            container = self("from", IMAGE).strip()
            return ["buildah", "run", "--isolation", "chroot", *options, container, "--", *words]
        shared = ("--rm", "--network", "host", "--pid", "host")
        return ["podman", "run", *shared, "--entrypoint", "", *options, IMAGE, *words]


def make_base(directory: Path) -> None:
    """Write Debian, from where this machine has its own packages, and how an image has it."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)")
    mirror = next(line.split()[0] for line in targets.split("\n") if line.endswith(f" {release}"))
    root = directory / "root"
    run("debootstrap", "--variant=minbase", release, root, mirror)
    run("tar", "-C", root, "-cf", directory / "base.tar", ".")
    shutil.rmtree(root)
    (directory / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")


def fetch_packages(directory: Path) -> tuple[str, ...]:
    """Fetch what is pinned; return the options with which a build finds it, and no index."""
    wheels, configuration = directory / "wheels", directory / "pip.conf"
    run("/usr/bin/python3", "-m", "venv", directory / "venv")  # as in the base
    run(
        *(directory / "venv/bin/pip", "download", "--quiet", "--require-hashes"),
        *("--only-binary", ":all:", "-r", ROOT / "requirements.txt", "-d", wheels),
    )
    configuration.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    mounts = (f"{wheels}:/wheels:ro", f"{configuration}:/etc/pip.conf:ro")
    return tuple(word for mount in mounts for word in ("--volume", mount))


class Materials(NamedTuple):
    """What every engine builds from."""

    base: Path
    packages: tuple[str, ...]


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Materials]:
    if os.geteuid() or not shutil.which("debootstrap"):
        pytest.skip("needs root, and debootstrap")
    directory = tmp_path_factory.mktemp("materials")
    base = directory / "base"
    base.mkdir()
    make_base(base)
    yield Materials(base, fetch_packages(directory))
    shutil.rmtree(directory)


@pytest.fixture(scope="module", params=ENGINES)
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """An engine that has built the image."""
    missing = [tool for tool in ENGINES[request.param] if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    base, packages = request.getfixturevalue("materials")
    directory = tmp_path_factory.mktemp(request.param)
    engine = Engine(request.param, directory)
    engine.build("base", base / "Containerfile", base)
    options = ("--build-arg", "BASE=localhost/base", *packages)
    engine.build(IMAGE, DEPLOY / "Containerfile", ROOT, *options)
    yield engine
    shutil.rmtree(directory)


@pytest.mark.long
def test_it_is_built_and_runs(engine: Engine, tmp_path: Path) -> None:
    """As a user of its own, without tools to build anything, and healthy; its data stay."""
    data, port = tmp_path / "data", free_port()
    data.mkdir(mode=0o700)
    os.chown(data, 10001, 10001)

    def words(*words: str) -> list[str]:
        return engine.in_container(*words, port=port, data=data)

    def within(*inner: str) -> str:
        return run(*words(*inner), env=engine.environment)

    found = within("sh", "-c", f"id -un; command -v {BUILD_TOOLS} || true")
    assert found.split() == [USER]
    email = "ada@example.test"
    assert email in within("job-ledger", "account", "add", email)
    healthy = health_check()
    for _ in range(2):
        serve = words("job-ledger", "serve")
        with subprocess.Popen(serve, cwd=ROOT, env=engine.environment) as service:
            try:
                wait_for("it is ready", lambda: answers(f"http://127.0.0.1:{port}/readyz"))
                within(*healthy)
                assert "nothing is wrong" in within("job-ledger", "doctor")
            finally:
                run("kill", (data / "lock").read_text().strip())
            assert service.wait(PATIENCE_S) == 0
    unhealthy = words(*healthy)
    asked = subprocess.run(
        unhealthy, capture_output=True, check=False, cwd=ROOT, env=engine.environment
    )
    assert asked.returncode != 0


@pytest.mark.long
def test_a_composer_runs_it(engine: Engine) -> None:
    """In a network of its own: healthy behind a proxy, and on the same data after a restart."""
    if engine.name != "podman" or not shutil.which("podman-compose"):
        pytest.skip("needs podman-compose, and podman's images")
    environment = {
        "COMPOSE": str(DEPLOY / "compose.yaml"),
        "URL": "http://127.0.0.1:8080",
        "PATIENCE_S": str(PATIENCE_S),
    }
    said = run(
        *("unshare", "--net", "bash", "-euo", "pipefail", "-c", COMPOSED),
        env=engine.environment | environment,
    )
    for expected in (
        '"api_endpoint":"https://ledger.test/api/2.0/"',
        "ended with 0\n",
        "ada@example.test",
        "nothing is wrong",
    ):
        assert expected in said, said


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310 - our service
            return bool(answer.status == 200)
    except OSError:
        return False
