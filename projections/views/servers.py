"""Reads of servers, with the jobs and tags that name them."""

from collections.abc import Container, Sequence

import msgspec
from msgspec.structs import replace

from ledger.domain.events.servers import Address, Mount, Nic, ServerDefinition
from ledger.store.parameters import marks
from projections.tables import ServerRow
from projections.views.read_models import ServerView
from projections.views.reader import Reader, in_order

_definition = msgspec.json.Decoder(ServerDefinition).decode
_mounts = msgspec.json.Decoder(tuple[Mount, ...]).decode
_nics = msgspec.json.Decoder(tuple[Nic, ...]).decode
_addresses = msgspec.json.Decoder(tuple[Address, ...]).decode


class Servers(Reader):
    def servers_among(self, uuids: Sequence[str], owner: str) -> list[ServerView]:
        """Return those of these servers that belong to this account, in the given order."""
        columns = ", ".join(ServerRow.__struct_fields__)
        rows = self._all(
            f"SELECT {columns},"
            " coalesce((SELECT vnc_password FROM server_secrets WHERE server = uuid), '')"
            f" FROM servers_g{self._g} WHERE uuid IN ({marks(uuids)}) AND owner || '' = ?",
            (*uuids, owner),
        )
        found = {row[0]: _view(ServerRow(*row[:-1]), row[-1]) for row in rows}
        keypairs = {uuid for server in found.values() for uuid in server.definition.pubkeys}
        existing = self._existing("keypairs", sorted(keypairs))
        if keypairs != existing:
            found = {uuid: _with_keypairs(server, existing) for uuid, server in found.items()}
        for resource, reference in self._references(list(found)):
            found[resource].jobs.append(reference)
        for resource, tag in self._tags_of(list(found)):
            found[resource].tags.append(tag)
        return in_order(found.values(), uuids)

    def servers_with(self, resources: Sequence[str]) -> list[str]:
        """Return the servers that name one of these drives or keypairs, even if it is deleted."""
        rows = self._among(
            f"SELECT DISTINCT server FROM attachments_g{self._g} WHERE resource IN (...)", resources
        )
        return [server for (server,) in rows]

    def hosts(self, owner: str) -> list[tuple[str, str]]:
        """Return the account's running servers, each with its host, oldest first."""
        return self._all(
            f"SELECT uuid, host FROM servers_g{self._g} WHERE owner = ? AND host IS NOT NULL"
            " ORDER BY created, uuid",
            (owner,),
        )


def _with_keypairs(server: ServerView, existing: Container[str]) -> ServerView:
    """Return the server without those of its keypairs that do not exist."""
    definition = server.definition
    left = tuple(uuid for uuid in definition.pubkeys if uuid in existing)
    return server._replace(definition=replace(definition, pubkeys=left))


def _view(row: ServerRow, vnc_password: str) -> ServerView:
    return ServerView(
        row.uuid,
        row.owner,
        _definition(row.definition),
        _mounts(row.mounts),
        _nics(row.nics),
        _addresses(row.addresses),
        row.host,
        row.active_since,
        [],
        [],
        vnc_password,
    )
