"""The units and settings of `scripts/deploy` are such that systemd and the service understand."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from api.cli import _ConfigurationError, cli
from api.cli.service_process import CONNECTIONS_END_S, REQUESTS_END_S
from api.service.settings import Settings, load_settings
from tests.support.cluster import DEPLOY

UNITS = sorted(path.name for path in DEPLOY.glob("*.service"))
SERVE = "job-ledger.service"
WORKER = "job-ledger-worker@.service"
SETTINGS = sorted(path.name for path in DEPLOY.glob("*.env"))
INSTALLED = "/opt/job-ledger/current/.venv/bin/job-ledger"


def parsed(unit: str) -> configparser.SectionProxy:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(DEPLOY / unit)
    return parser["Service"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
@pytest.mark.parametrize("unit", UNITS)
def test_systemd_understands(unit: str, tmp_path: Path) -> None:
    """Every line; with the program where it is on this machine."""
    text = (DEPLOY / unit).read_text(encoding="utf-8")
    assert INSTALLED in text
    program = str(Path(sys.executable).with_name("job-ledger"))
    copy = tmp_path / unit.replace("@", "@one")
    copy.write_text(text.replace(INSTALLED, program))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if unit.partition(".")[0] in line]
    assert (done.returncode, said) == (0, [])


@pytest.mark.parametrize("unit", [SERVE, WORKER])
def test_what_is_started_is_a_command_with_these_options(unit: str) -> None:
    program, name, *options = parsed(unit)["ExecStart"].split()
    assert program == INSTALLED
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    with click.Context(command) as context:
        command.parse_args(context, options)


@pytest.mark.parametrize("file", SETTINGS)
def test_every_setting_is_one(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that are only proposed: with all of them a service would start."""
    text = (DEPLOY / file).read_text(encoding="utf-8")
    given = re.findall(r"^(?:# )?(JOB_LEDGER_\w+)=(.*)$", text, re.MULTILINE)
    assert given
    for name, value in given:
        monkeypatch.setenv(name, value)
    names = {name.removeprefix("JOB_LEDGER_").lower() for name, _ in given}
    assert names <= set(Settings.__struct_fields__)
    load_settings(data=Path("x"))


@pytest.mark.parametrize("unit", [SERVE, WORKER])
def test_who_hangs_is_started_again_but_not_who_is_wrong(unit: str) -> None:
    service = parsed(unit)
    assert (service["Type"], service["Restart"]) == ("notify", "on-failure")
    assert int(service["RestartPreventExitStatus"]) == _ConfigurationError.exit_code
    assert int(service["WatchdogSec"]) > 0
    # A rebuild after an upgrade is no hang.
    assert service["TimeoutStartSec"] == "infinity"


def test_there_is_time_to_stop() -> None:
    """Before systemd kills: for the requests, their connections, and copies to a checkpoint."""
    assert int(parsed(SERVE)["TimeoutStopSec"]) > 2 * (REQUESTS_END_S + CONNECTIONS_END_S)
