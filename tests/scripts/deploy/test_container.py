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
from typing import Any

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
TOOLS = ("buildah", "debootstrap", "podman", "podman-compose", "runc")
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


class Images:
    """Images and containers in a directory of their own.

    buildah needs no control groups. podman does; its usual runtime takes no mixture of their two
    versions, which some machines have, but runc does.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._buildah = (
            *("buildah", "--root", str(directory / "images"), "--runroot", str(directory / "run")),
            *("--storage-driver", "vfs"),
        )

    def make_base(self) -> str:
        """Debian, from where this machine has its own packages."""
        release = platform.freedesktop_os_release()["VERSION_CODENAME"]
        targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)")
        mirror = next(
            line.split()[0] for line in targets.split("\n") if line.endswith(f" {release}")
        )
        root = self._directory / "base"
        run("debootstrap", "--variant=minbase", release, root, mirror)
        container = self.buildah("from", "scratch").strip()
        self.buildah("add", "--quiet", container, root, "/")
        self.buildah("commit", "--quiet", container, "base")
        self.buildah("rm", container)
        shutil.rmtree(root)
        return "localhost/base"

    def build(self, base: str) -> None:
        """The image, from packages that were fetched before: the build reaches no index."""
        wheels = self._directory / "wheels"
        pinned = ROOT / "requirements.txt"
        python = "/usr/bin/python3"  # of the base, too
        run(python, "-m", "venv", self._directory / "venv")
        run(
            *(self._directory / "venv/bin/pip", "download", "--quiet", "--require-hashes"),
            *("--only-binary", ":all:", "-r", pinned, "-d", wheels),
        )
        configuration = self._directory / "pip.conf"
        configuration.write_text("[global]\nno-index = true\nfind-links = /wheels\n")
        self.buildah(
            *(
                "build",
                "--isolation",
                "chroot",
                "--format",
                "docker",
                "--build-arg",
                f"BASE={base}",
            ),
            *("--volume", f"{wheels}:/wheels:ro", "--volume", f"{configuration}:/etc/pip.conf:ro"),
            *("-t", "job-ledger", "-f", str(DEPLOY / "Containerfile"), "."),
        )

    def buildah(self, *words: str | Path) -> str:
        return run(*self._buildah, *words)

    def podman_environment(self) -> dict[str, str]:
        """Return where podman finds the same images; it may raise no limits of this process."""
        storage, containers = (self._directory / name for name in ("storage.conf", "podman.conf"))
        storage.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{self._directory}/images"\n'
            f'runroot = "{self._directory}/run"\n'
        )
        containers.write_text(
            '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n'
            '[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
            f'[network]\nnetwork_config_dir = "{self._directory}/networks"\n'
        )
        return {
            "CONTAINERS_CONF": str(containers),
            "CONTAINERS_STORAGE_CONF": str(storage),
        }

    def in_container(self, container: str, *words: str, port: int, data: Path) -> list[str]:
        """The command line that runs something in it."""
        return [
            *(*self._buildah, "run", "--isolation", "chroot", "--env", f"JOB_LEDGER_PORT={port}"),
            *("--volume", f"{data}:{DATA}", container, "--", *words),
        ]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing or os.geteuid():
        pytest.skip(f"needs root, and {', '.join(missing)}")
    directory = tmp_path_factory.mktemp("images")
    images = Images(directory)
    images.build(images.make_base())
    yield images
    shutil.rmtree(directory)


@pytest.mark.long
def test_it_is_built_and_runs(images: Images, tmp_path: Path) -> None:
    """As a user of its own, without tools to build anything, and healthy; its data stay."""
    container = images.buildah("from", "localhost/job-ledger").strip()
    data, port = tmp_path / "data", free_port()
    data.mkdir(mode=0o700)
    os.chown(data, 10001, 10001)

    def words(*words: str) -> list[str]:
        return images.in_container(container, *words, port=port, data=data)

    found = run(*words("sh", "-c", f"id -un; command -v {BUILD_TOOLS} || true"))
    assert found.split() == [USER]
    email = "ada@example.test"
    assert email in run(*words("job-ledger", "account", "add", email))
    healthy = health_check()
    for _ in range(2):
        with subprocess.Popen(words("job-ledger", "serve"), cwd=ROOT) as service:
            try:
                wait_for("it is ready", lambda: answers(f"http://127.0.0.1:{port}/readyz"))
                run(*words(*healthy))
                assert "nothing is wrong" in run(*words("job-ledger", "doctor"))
            finally:
                run("kill", (data / "lock").read_text().strip())
            assert service.wait(PATIENCE_S) == 0
    unhealthy = subprocess.run(words(*healthy), capture_output=True, check=False, cwd=ROOT)
    assert unhealthy.returncode != 0


@pytest.mark.long
def test_a_composer_runs_it(images: Images) -> None:
    """In a network of its own: healthy behind a proxy, and on the same data after a restart."""
    environment = {
        "COMPOSE": str(DEPLOY / "compose.yaml"),
        "URL": "http://127.0.0.1:8080",
        "PATIENCE_S": str(PATIENCE_S),
    }
    said = run(
        *("unshare", "--net", "bash", "-euo", "pipefail", "-c", COMPOSED),
        env=os.environ | environment | images.podman_environment(),
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
