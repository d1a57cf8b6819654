"""Starting whole services on PostgreSQL, and common requests to them."""

from tests.acceptance.running import EMAIL, PASSWORD, Machine, Server, run_command


def begin(machine: Machine, database: str, *options: str) -> Server:
    """A service with an account, whose ledger is in this database from now on."""
    server = machine.start("--store", database, *options)
    words = ("account", "add", EMAIL, "--password-stdin", "--data", str(machine.data))
    added = run_command(*words, stdin=f"{PASSWORD}\n")
    assert added.returncode == 0, added.stderr
    return server


def check(machine: Machine, *words: str) -> str:
    """What a command on its data says, which must go well."""
    done = machine.command(*words)
    assert done.returncode == 0, (words, done.stdout, done.stderr)
    return done.stdout
