"""The key of a data directory is made once, and nobody else may read it."""

from pathlib import Path

import pytest

from ledger.merkle.signed_note import Signer, open_note
from ledger.proofs.keys import (
    KEY_FILE,
    VERIFIER_FILE,
    KeyUnusable,
    kept_signer,
    signer_of,
    verifier_of,
)


def new_id() -> str:
    return "0194e6a0-7d2c-7f43-b1a5-9d8e7c6b5a40"


def signer(data: Path) -> Signer:
    return signer_of(data, new_id=new_id)


def test_the_key_is_made_at_first_use(tmp_path: Path) -> None:
    """With its public half beside it, and is the same ever after."""
    made = signer(tmp_path)
    assert made.name == f"job-ledger/{new_id()}"
    assert {path.name for path in tmp_path.iterdir()} == {KEY_FILE, VERIFIER_FILE}
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / KEY_FILE).read_text() == f"{made.secret_text()}\n"
    assert signer(tmp_path).secret_text() == made.secret_text()
    assert open_note(made.sign("text\n").encode(), verifier_of(tmp_path)) == "text\n"


def test_every_ledger_has_a_key_of_its_own(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    assert signer(tmp_path / "one").secret_text() != signer(tmp_path / "other").secret_text()


def test_a_public_half_that_is_missing_is_written_again(tmp_path: Path) -> None:
    made = signer(tmp_path)
    (tmp_path / VERIFIER_FILE).unlink()
    assert signer(tmp_path).name == made.name
    assert str(verifier_of(tmp_path)) == str(made.verifier)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """And the mode is told."""
    signer(tmp_path)
    (tmp_path / KEY_FILE).chmod(mode)
    with pytest.raises(KeyUnusable, match=f"{mode:04o}"):
        signer(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PRIVATE+KEY+x+00000000+AYEK\n", b"\xff"])
def test_a_key_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    """It is not made anew: the checkpoints signed so far would be worth nothing."""
    signer(tmp_path)
    (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(KeyUnusable, match=KEY_FILE):
        signer(tmp_path)


def test_a_key_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    """By the public half that is still there."""
    signer(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / KEY_FILE).write_text(f"{signer(tmp_path / 'other').secret_text()}\n")
    for read in (signer, kept_signer):
        with pytest.raises(KeyUnusable, match="replaced"):
            read(tmp_path)


def test_a_key_that_is_missing_is_not_made_anew(tmp_path: Path) -> None:
    """Where there was one: what it signed could not be gone on with."""
    signer(tmp_path)
    (tmp_path / KEY_FILE).unlink()
    for read in (signer, kept_signer):
        with pytest.raises(KeyUnusable, match="is missing"):
            read(tmp_path)
    assert not (tmp_path / KEY_FILE).exists()


def test_looking_at_a_key_makes_nothing(tmp_path: Path) -> None:
    """Neither the key nor its public half."""
    with pytest.raises(KeyUnusable, match="is missing"):
        kept_signer(tmp_path)
    made = signer(tmp_path)
    (tmp_path / VERIFIER_FILE).unlink()
    assert kept_signer(tmp_path).name == made.name
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_public_half_that_is_none_is_refused(tmp_path: Path) -> None:
    signer(tmp_path)
    (tmp_path / VERIFIER_FILE).write_text("job-ledger\n")
    for read in (verifier_of, signer):
        with pytest.raises(KeyUnusable, match=VERIFIER_FILE):
            read(tmp_path)


def test_a_key_that_is_made_twice_at_once_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes second takes what is there by then."""
    made = signer(tmp_path)
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert signer(tmp_path).secret_text() == made.secret_text()
    assert {path.name for path in tmp_path.iterdir()} == {KEY_FILE, VERIFIER_FILE}
