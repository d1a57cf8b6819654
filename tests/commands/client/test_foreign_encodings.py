"""Names and passwords in another encoding than UTF-8: refused in words, or understood."""

import os

from tests.acceptance.client import striped
from tests.acceptance.running import EMAIL, Machine, Server
from tests.commands.client.conftest import Shell
from tests.support import processes
from tests.support.wait import PATIENCE_S

FOREIGN = os.fsdecode("größe.img".encode("latin-1"))
"""As the file system and the command line give it to Python."""


def refusal(shell: Shell, *words: str, stdin: bytes = b"", code: int = 2) -> str:
    """What a command says that takes none of this."""
    done = processes.run(
        *words, stdin=stdin, timeout=PATIENCE_S, cwd=shell.home, env=shell.environment
    )
    assert (done.returncode, done.stdout) == (code, b""), done.stderr
    said: str = done.stderr.decode()
    assert "Traceback" not in said
    return said


def test_a_name_is_refused_before_a_drive_has_it(server: Server, shell: Shell) -> None:
    """Given on the command line, or taken from the file; with a name of its own, it is stored."""
    shell.log_in(server)
    (shell.home / FOREIGN).write_bytes(striped(1))
    source = server.api.upload(striped(1))
    assert "have to be UTF-8" in refusal(shell, "upload", FOREIGN)
    assert "have to be UTF-8" in refusal(shell, "upload", FOREIGN, "--name", FOREIGN)
    assert "have to be UTF-8" in refusal(shell, "clone", "drive", source, "--name", FOREIGN)
    assert len(server.api.drives()) == 1
    assert shell.run("upload", FOREIGN, "--name", "size").code == 0


def test_a_password_is_refused(server: Server, machine: Machine, shell: Shell) -> None:
    password = "größer als alles\n".encode("latin-1")
    login = ("login", server.api.address, "--email", EMAIL, "--password-stdin")
    new = ("account", "add", "fir@example.test", "--password-stdin", "--data", str(machine.data))
    for words, code in ((login, 2), (new, 1)):
        assert "UTF-8" in refusal(shell, *words, stdin=password, code=code)
