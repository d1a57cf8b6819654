"""The plain tables that commands write beside their events: passwords, personal fields, tokens."""

from typing import assert_never

from ledger.domain.context import (
    AddToken,
    CopyVncPassword,
    DropTokens,
    DropVncPassword,
    Secret,
    SetPersonal,
    SetVncPassword,
)
from ledger.store.seam import Cursor
from ledger.store.tables import login_revocations, tokens


def write_secret(cursor: Cursor, secret: Secret) -> None:
    """Apply the change, in the transaction of its command."""
    match secret:
        case SetVncPassword(server=server, vnc_password=password):
            cursor.execute(
                "INSERT INTO server_secrets VALUES (?, ?)"
                " ON CONFLICT (server) DO UPDATE SET vnc_password = excluded.vnc_password",
                (server, password),
            )
        case CopyVncPassword(server=server, source=source):
            cursor.execute(
                "INSERT INTO server_secrets"
                " SELECT CAST(? AS text), vnc_password FROM server_secrets WHERE server = ?",
                (server, source),
            )
        case DropVncPassword(server=server):
            cursor.execute("DELETE FROM server_secrets WHERE server = ?", (server,))
        case SetPersonal(account=account, fields=fields):
            for field, value in fields.items():
                cursor.execute(
                    "INSERT INTO personal_fields VALUES (?, ?, ?)"
                    " ON CONFLICT (account, field) DO UPDATE SET value = excluded.value",
                    (account, field, value),
                )
        case AddToken():
            tokens.add(cursor, secret)
        case DropTokens(owner=owner, tokens=dropped, removed=removed):
            tokens.drop(cursor, dropped, removed)
            login_revocations.note(cursor, owner)
        case _:
            assert_never(secret)
