"""`/ips/`: the addresses that the account's running servers use."""

from collections.abc import Mapping
from ipaddress import IPv4Network, ip_address
from typing import Annotated

from msgspec import Meta, Struct

from api.http.fields import (
    Grantees,
    NoReferences,
    Owner,
    Permissions,
    Reference,
    ResourceMeta,
    ResourceUri,
    Text,
    TextList,
    about,
)
from api.resources.collections import Collection
from api.resources.references import reference_to
from api.service.service import Service
from api.text.urls import API_ROOT
from ledger.domain.errors.servers import IpNotFound
from projections.views.filters import Lookup
from projections.views.read_models import IpView
from projections.views.snapshot import Snapshot

FILTERS: Mapping[str, Lookup] = {"uuid": "uuid"}
IP_LIST_FIELDS = frozenset({"owner", "resource_uri", "server", "uuid"})


_Prefix = Annotated[int, Meta(ge=0, le=32)]


class Ip(Struct, kw_only=True, forbid_unknown_fields=True):
    """An address; what belongs to its network is known if it was drawn from one."""

    gateway: Annotated[Text | None, about("Gateway of its network.")] = None
    grantees: Grantees = ()
    meta: ResourceMeta = {}
    nameservers: Annotated[TextList, about("Name servers of its network.")] = ()
    netmask: Annotated[_Prefix | None, about("Length of the prefix of its network.")] = None
    owner: Owner = None
    permissions: Permissions = ()
    resource_uri: ResourceUri
    server: Annotated[Reference | None, about("Server that uses it.")] = None
    subscription: Annotated[None, about("Nothing is subscribed to here.")] = None
    tags: Annotated[NoReferences, about("Addresses have no tags.")] = ()
    uuid: Annotated[Text, about("The address itself.")]


def ips_of(service: Service) -> Collection[IpView, Ip]:
    """Return the collection of addresses, which nothing but servers changes."""
    return Collection(
        "ips",
        service,
        FILTERS,
        Snapshot.ips_among,
        represent_ip,
        IpNotFound,
        IP_LIST_FIELDS,
        lambda request, _: read_ip(request.match_info["uuid"]),
    )


def represent_ip(ip: IpView) -> Ip:
    network = None if ip.network is None else IPv4Network(ip.network)
    gateway = None if network is None else str(network[1])
    return Ip(
        gateway=gateway,
        nameservers=() if gateway is None else (gateway,),
        netmask=None if network is None else network.prefixlen,
        owner=reference_to("user", ip.owner),
        resource_uri=f"{API_ROOT}/ips/{ip.uuid}/",
        server=reference_to("servers", ip.server),
        uuid=ip.uuid,
    )


def read_ip(text: str) -> str:
    """Return the address of a URL in its usual form. Raise `IpNotFound` if it is none."""
    try:
        return str(ip_address(text))
    except ValueError:
        raise IpNotFound(text) from None
