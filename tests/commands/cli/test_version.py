"""The version is shown wherever somebody looks for it."""

import json
import tomllib
from pathlib import Path

import pytest

from api.service.version import CHANGES, VERSION, installed_version
from tests.commands.cli.here import served_here
from tests.commands.cli.processes import ask
from tests.support.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_a_checkout_that_is_not_installed_has_the_version_of_its_project() -> None:
    shown = ask("--version")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[0] == f"job-ledger {PROJECT}"


def test_what_is_installed_has_the_version_of_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.service.version.version", {"job-ledger": "7.6.5"}.__getitem__)
    assert installed_version() == "7.6.5"


def test_it_names_the_file_in_which_the_changes_of_this_version_stand() -> None:
    assert ask("--version").out.splitlines()[1].endswith(f" {CHANGES}")
    assert f"\n## {PROJECT}" in CHANGES.read_text(encoding="utf-8")


def test_the_doctor_compares_what_runs_with_what_is_installed(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade that nobody restarted is noticed."""
    with served_here(data):
        sound = ask("doctor", "--data", data)
        assert sound.out.split()[:2] == ["version", VERSION]
        assert "WRONG" not in sound.out
        monkeypatch.setattr("api.cli.admin.VERSION", "99.1")
        outdated = ask("doctor", "--data", data)
        assert (outdated.code, f"the service runs version {VERSION}" in outdated.out) == (1, True)
        shown = json.loads(ask("doctor", "--json", "--data", data).out)
    assert (shown["version"], len(shown["problems"])) == (VERSION, 1)
