"""Notes and keys are those of C2SP, and nothing that was changed is taken for signed."""

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.merkle.signed_note import (
    NOTE_BYTES,
    BadCheckpoint,
    BadKey,
    Checkpoint,
    Signer,
    Verifier,
    open_note,
    parse_checkpoint,
    read_checkpoint,
)

# The keys and the note of the format's first implementation, golang.org/x/mod/sumdb/note.
SECRET = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PUBLIC = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
NOTE = (
    f"{TEXT}\n— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

SIGNER = Signer("job-ledger/test", bytes(range(32)))
OTHER = Signer("job-ledger/test", bytes(range(1, 33)))
CHECKPOINT = Checkpoint("job-ledger/test", 20852163, bytes(range(32)), 2, 20852170)
BODY = (
    "job-ledger/test\n20852163\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
    "epoch 2\nposition 20852170\n"
)


HASH = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def signed(text: str = BODY, signer: Signer = SIGNER) -> bytes:
    return signer.sign(text).encode()


# Keys


def test_the_known_keys() -> None:
    """Are read, belong together, and are written again as they were."""
    signer = Signer.of_text(SECRET)
    assert signer.secret_text() == SECRET
    assert str(signer.verifier) == PUBLIC == str(Verifier.of_text(f"{PUBLIC}\n"))
    assert signer.name == "PeterNeumann"


def test_a_secret_is_not_printed_unawares() -> None:
    assert SECRET[-20:] not in f"{Signer.of_text(SECRET)} {Signer.of_text(SECRET)!r}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        PUBLIC.replace("c74f20a3", "c74f20a4"),
        PUBLIC.replace("c74f20a3", "C74F20A3"),
        PUBLIC.replace("Peter", "Petra"),
        PUBLIC.replace("PeterNeumann", ""),
        PUBLIC.replace("Peter", "Peter "),
        PUBLIC[:-4],
        PUBLIC[:-1] + "é",
        PUBLIC.replace("ARpc", "AhpC"),
        SECRET,
    ],
)
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(BadKey):
        Verifier.of_text(text)


@pytest.mark.parametrize(
    "text",
    ["", PUBLIC, SECRET[:-4], SECRET.replace("c74f", "c74e"), SECRET.replace("+AYE", "+AoE")],
)
def test_what_is_no_signers_key(text: str) -> None:
    with pytest.raises(BadKey):
        Signer.of_text(text)


# Notes


def test_the_known_note() -> None:
    """Comes of signing its text, and is opened again."""
    assert Signer.of_text(SECRET).sign(TEXT) == NOTE
    assert open_note(NOTE.encode(), Verifier.of_text(PUBLIC)) == TEXT


def test_signatures_of_others_are_passed_over() -> None:
    """Even with our name, or with nothing that could be a signature's length; one must be ours."""
    others = f"— somebody AAAA\n{signed(signer=OTHER).decode().splitlines()[-1]}\n"
    witnessed = signed() + others.encode()
    assert open_note(witnessed, SIGNER.verifier) == BODY
    with pytest.raises(BadCheckpoint, match="not signed by"):
        open_note(signed(signer=OTHER), SIGNER.verifier)


def test_a_text_may_have_empty_lines() -> None:
    """The last one is what the signatures are behind."""
    assert open_note(signed("a\n\nb\n"), SIGNER.verifier) == "a\n\nb\n"


def test_each_of_our_signatures_must_be_good() -> None:
    """A good one does not make up for a bad one."""
    line = signed("something else\n").splitlines()[-1] + b"\n"
    for note in (signed() + line, signed().replace("— ".encode(), line + "— ".encode())):
        with pytest.raises(BadCheckpoint, match="does not fit this text"):
            open_note(note, SIGNER.verifier)


@pytest.mark.parametrize(
    "note",
    [
        b"",
        BODY.encode(),
        f"{BODY}\n".encode(),
        signed()[:-1],
        signed() + b"\n",
        signed() + b"more\n",
        signed().replace("—".encode(), b"-"),
        signed().replace(b"\n", b"\r\n"),
        signed() + "— x y\n".encode(),
        signed() + b"\xff",
        signed() + "— somebody AAAA\n".encode() * (NOTE_BYTES // 10),
    ],
)
def test_what_is_no_note(note: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        open_note(note, SIGNER.verifier)


@pytest.mark.parametrize("character", ["\t", "\r", "\x00", "\x1f"])
def test_control_characters_are_refused(character: str) -> None:
    """Though they are signed: what they do to a terminal is not what was signed."""
    text = f"some{character}thing\n"
    signature = b64encode(SIGNER.verifier.id + SIGNER._key.sign(text.encode())).decode()
    with pytest.raises(BadCheckpoint, match="control"):
        open_note(f"{text}\n— {SIGNER.name} {signature}\n".encode(), SIGNER.verifier)


# Checkpoints


def test_a_checkpoint_is_written_and_read() -> None:
    assert CHECKPOINT.text() == BODY
    assert read_checkpoint(signed(), SIGNER.verifier) == CHECKPOINT


def test_a_checkpoint_of_a_backup_has_a_line_more() -> None:
    of_backup = CHECKPOINT._replace(backup=bytes(range(32)))
    assert of_backup.text() == f"{BODY}backup {HASH}\n"
    assert read_checkpoint(signed(of_backup.text()), SIGNER.verifier) == of_backup


@given(st.integers(0, 10**18), st.binary(min_size=32, max_size=32), st.integers(1, 10**6))
def test_every_checkpoint_comes_back(size: int, root: bytes, epoch: int) -> None:
    checkpoint = Checkpoint("job-ledger/test", size, root, epoch, size + 5)
    assert parse_checkpoint(checkpoint.text()) == checkpoint


@pytest.mark.parametrize(
    ("part", "instead"),
    [
        ("20852163", "020852163"),
        ("20852163", "+20852163"),
        ("20852163", "-1"),
        ("20852163", " 20852163"),
        ("20852163", "٢"),
        ("20852163", "1_0"),
        ("20852163", "1" * 20),
        ("Hh8=", "Hh8"),
        ("Hh8=", "Hh9="),
        ("Hh8=", "Hh8= "),
        ("AAEC", ""),
        ("job-ledger/test\n", ""),
        ("job-ledger/test\n", "\n"),
        ("epoch 2", "epoch 0"),
        ("epoch 2", "epoch two"),
        ("epoch 2", "Epoch 2"),
        ("epoch 2\n", ""),
        ("epoch 2\nposition 20852170\n", "position 20852170\nepoch 2\n"),
        ("position 20852170\n", ""),
        ("position 20852170\n", "position 20852170\nmore\n"),
        ("position 20852170\n", f"position 20852170\nBackup {HASH}\n"),
        ("position 20852170\n", f"position 20852170\nbackup {HASH[4:]}\n"),
        ("position 20852170\n", f"position 20852170\nbackup {HASH}\nmore\n"),
        ("position 20852170\n", f"backup {HASH}\nposition 20852170\n"),
        ("position 20852170\n", "position 20852170\n\n"),
    ],
)
def test_what_is_no_checkpoint(part: str, instead: str) -> None:
    """Even if it is signed."""
    assert part in BODY
    with pytest.raises(BadCheckpoint):
        read_checkpoint(signed(BODY.replace(part, instead)), SIGNER.verifier)


def test_a_checkpoint_of_another_log_is_refused() -> None:
    """Though the key is ours."""
    with pytest.raises(BadCheckpoint, match="job-ledger/other"):
        read_checkpoint(signed(BODY.replace("/test", "/other")), SIGNER.verifier)


@given(st.integers(0, len(signed()) * 8 - 1))
def test_a_changed_bit_is_found(bit: int) -> None:
    """Wherever it is: in the size, the root, the name, the signature, or the space between."""
    changed = int.from_bytes(signed()) ^ 1 << bit
    with pytest.raises(BadCheckpoint):
        read_checkpoint(changed.to_bytes(len(signed())), SIGNER.verifier)
