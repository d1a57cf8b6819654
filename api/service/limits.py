"""How much one client may take: the table of limits, which the operator changes by `--limit`."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, inspect

from api.accounts.limits import LoginLimits, number
from ledger.domain.quotas import Quotas

DAY_S = 24 * 3600
MIB = 1024 * 1024


def seconds(description: str) -> Meta:
    """Describe a limit of how long, up to a day; 0 is none."""
    return Meta(ge=0, le=DAY_S, description=description)


class Limits(LoginLimits, frozen=True, kw_only=True, rename="kebab"):
    """The limits of one process: of logins, connections and accounts. 0 switches a limit off."""

    connections: Annotated[int, number("connections of all clients together")] = 1_000
    connections_per_address: Annotated[
        int, number("connections of an IPv4 address, or of an IPv6 network of 64 bits")
    ] = 256
    head_seconds: Annotated[
        float, seconds("from a request's first byte to the end of its head")
    ] = 10.0
    body_silence_seconds: Annotated[float, seconds("how long a body may send nothing")] = 10.0
    body_seconds: Annotated[float, seconds("how long a body may take, uploads apart")] = 30.0
    bytes_per_second: Annotated[
        int, number("the least speed, over 30 s, at which an upload is sent and an answer read")
    ] = 16 * 1024
    unread_seconds: Annotated[float, seconds("how long a client may read nothing of an answer")] = (
        20.0
    )
    websockets: Annotated[int, number("websockets of all accounts together")] = 1_000
    websockets_per_account: Annotated[int, number("websockets of one account")] = 64
    long_polls: Annotated[int, number("requests of all accounts that wait for a change")] = 4_000
    long_polls_per_account: Annotated[
        int, number("requests of one account that wait for a change")
    ] = 256
    uploads: Annotated[int, number("uploads and chunks that all accounts send at once")] = 64
    uploads_per_account: Annotated[
        int, number("uploads and chunks that one account sends at once")
    ] = 16
    downloads: Annotated[int, number("images that all accounts download at once")] = 128
    downloads_per_account: Annotated[int, number("images that one account downloads at once")] = 16
    drives_per_account: Annotated[int, number("drives of one account")] = 20_000
    servers_per_account: Annotated[int, number("servers of one account")] = 5_000
    addresses_per_account: Annotated[
        int, number("addresses that the running servers of one account use")
    ] = 10_000
    tags_per_account: Annotated[int, number("tags of one account")] = 5_000
    keypairs_per_account: Annotated[int, number("keypairs of one account")] = 1_000
    things_per_tag: Annotated[int, number("drives and servers that bear one tag")] = 5_000
    tags_per_thing: Annotated[int, number("tags of one drive or server")] = 20
    servers_per_drive: Annotated[
        int, number("servers that mount one drive, those of the library apart")
    ] = 100
    tag_changes: Annotated[
        int, number("tags that one request gives to drives and servers, or takes from them")
    ] = 1_000
    unfinished_uploads: Annotated[
        int, number("uploads of all accounts whose last chunk has not come")
    ] = 1_000
    unfinished_uploads_per_account: Annotated[
        int, number("uploads of one account whose last chunk has not come")
    ] = 100
    jobs_running_per_account: Annotated[int, number("running jobs of one account")] = 10_000
    jobs_kept_per_account: Annotated[
        int, number("jobs of one account that are shown, running or not")
    ] = 1_000_000
    ledger_bytes_a_day_per_account: Annotated[
        int, number("bytes of events that one account's requests record in 24 hours")
    ] = 2**30
    read_threads: Annotated[
        int, Meta(ge=1, le=64, description="long reads that all accounts run at once")
    ] = 4
    running_reads_per_account: Annotated[
        int, number("long reads that one account runs at once")
    ] = 2
    waiting_reads: Annotated[int, number("long reads of all accounts that wait for their turn")] = 0
    waiting_reads_per_account: Annotated[
        int, number("long reads of one account that wait for their turn")
    ] = 16
    read_wait_seconds: Annotated[float, seconds("how long a long read waits for its turn")] = 10.0
    streams: Annotated[int, number("long answers that are sent to all accounts at once")] = 32
    streams_per_account: Annotated[
        int, number("long answers that are sent to one account at once")
    ] = 4
    stream_seconds: Annotated[float, seconds("how long a client may take for a long answer")] = (
        600.0
    )
    answer_bytes: Annotated[
        int, number("bytes of answers to all accounts that are not sent yet")
    ] = 128 * MIB
    answer_bytes_per_account: Annotated[
        int, number("bytes of answers to one account that are not sent yet")
    ] = 32 * MIB
    answer_bytes_without_login: Annotated[
        int, Meta(ge=0, description="the same of answers to clients that have not logged in")
    ] = 32 * MIB
    answer_bytes_without_login_per_address: Annotated[
        int,
        Meta(
            ge=0,
            description="the same of one IPv4 address, or of an IPv6 network of 64 bits",
        ),
    ] = 4 * MIB
    shown_bytes: Annotated[
        int,
        Meta(
            ge=0, description="bytes of jobs that were shown and are remembered; 0 remembers none"
        ),
    ] = 64 * MIB
    answer_wait_seconds: Annotated[
        float, seconds("how long a read waits for answers before it to be sent")
    ] = 5.0
    requests_per_second: Annotated[int, number("requests of one account in a second")] = 2_000
    requests_burst: Annotated[int, number("requests of one account at once, after a pause")] = 4_000

    registrations_per_minute: Annotated[
        int, number("jobs that one token registers in a minute")
    ] = 200
    registrations_burst: Annotated[int, number("the same at once, after a pause")] = 1_000
    cancels_per_minute: Annotated[int, number("jobs that one token asks to stop in a minute")] = (
        1_000
    )
    cancels_burst: Annotated[int, number("the same at once, after a pause")] = 10_000
    labels_per_minute: Annotated[int, number("changes of labels by one token in a minute")] = 200
    labels_burst: Annotated[int, number("the same at once, after a pause")] = 1_000
    reads_per_minute: Annotated[
        int, number("reads of /api/v1 by one token in a minute, as of jobs and events")
    ] = 3_000
    reads_burst: Annotated[int, number("the same at once, after a pause")] = 3_000
    together_per_account: Annotated[
        int, number("how many times as much of these all tokens of an account may do together")
    ] = 5
    long_polls_per_token: Annotated[int, number("requests of one token that wait for a change")] = (
        64
    )

    def of(self, resource: str, holder: Literal["account", "address"]) -> int:
        """Return how much of a resource an account, or an address, may have at one moment."""
        return int(getattr(self, f"{resource.replace('-', '_')}_per_{holder}"))

    def of_all(self, resource: str) -> int:
        """Return how much of it all accounts together may have."""
        return int(getattr(self, resource.replace("-", "_")))

    @property
    def quotas(self) -> Quotas:
        """How many things the ledger lets an account own."""
        return Quotas(
            drives=self.drives_per_account,
            servers=self.servers_per_account,
            addresses=self.addresses_per_account,
            tags=self.tags_per_account,
            keypairs=self.keypairs_per_account,
            things_per_tag=self.things_per_tag,
            tags_per_thing=self.tags_per_thing,
            servers_per_drive=self.servers_per_drive,
            tag_changes=self.tag_changes,
            unfinished_uploads=self.unfinished_uploads_per_account,
            unfinished_uploads_of_all=self.unfinished_uploads,
            jobs_running=self.jobs_running_per_account,
            jobs_kept=self.jobs_kept_per_account,
            ledger_bytes_a_day=self.ledger_bytes_a_day_per_account,
        )


class Limit(NamedTuple):
    """A limit as operators see it."""

    name: str
    value: float
    meaning: str


def rows_of(limits: Limits) -> Iterator[Limit]:
    """Yield the table, in its order."""
    described = inspect.type_info(Limits)
    assert isinstance(described, inspect.StructType)
    for field in described.fields:
        assert isinstance(field.type, inspect.Metadata)
        meaning = (field.type.extra_json_schema or {})["description"]
        yield Limit(field.encode_name, getattr(limits, field.name), meaning)


def read_limits(texts: Iterable[str]) -> Limits:
    """Read texts such as `connections=500`. Raise ValueError for others."""
    names = [limit.name for limit in rows_of(Limits())]
    given: dict[str, str] = {}
    for text in texts:
        name, equals, number = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r} is no NAME=N")
        if name not in names:
            raise ValueError(f"no limit is named {name!r}, but {', '.join(names)}")
        given[name] = number
        _check_number(text, given)
    return msgspec.convert(given, Limits, strict=False)


def _check_number(text: str, given: Mapping[str, str]) -> None:
    try:
        msgspec.convert(given, Limits, strict=False)
    except msgspec.ValidationError:
        raise ValueError(f"{text!r} has no number that this limit can be; 0 is off") from None
