"""`job-ledger --version`."""

import tomllib

import pytest

from api.cli.version import CHANGES
from tests.commands.cli.processes import ask
from tests.support.processes import ROOT

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_a_checkout_that_is_not_installed_has_the_version_of_its_project() -> None:
    shown = ask("--version")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.splitlines()[0] == f"job-ledger {VERSION}"


def test_what_is_installed_has_the_version_of_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.version.version", {"job-ledger": "7.6.5"}.__getitem__)
    assert ask("--version").out.startswith("job-ledger 7.6.5\n")


def test_it_names_the_file_in_which_the_changes_of_this_version_stand() -> None:
    assert ask("--version").out.splitlines()[1].endswith(f" {CHANGES}")
    assert f"\n## {VERSION}" in CHANGES.read_text(encoding="utf-8")
