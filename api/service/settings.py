"""What can be set from outside: by flags of the command line, else by the environment."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Struct

from api.service.limits import Limits, read_limits
from ledger.domain.errors import Misconfigured
from ledger.images.pools import Pool, parse_pool
from ledger.workers import STALLED_S

S = TypeVar("S", bound=Struct)

ENVIRONMENT_PREFIX = "JOB_LEDGER_"
DEFAULT_HOSTS = ("main",)
DEFAULT_RANGE = IPv4Network("10.0.0.0/8")
SHORTEST_RANGE = 30
"""A network of this prefix has one address beside its gateway's, its own and its broadcast's."""
STORES = ("postgresql://", "postgres://")

_SIZE = re.compile(r"([0-9]+)([KMGT]?)", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_REPEATED = {
    "pools": "pool",
    "compute_hosts": "compute-host",
    "trusted_proxies": "trusted-proxy",
    "limits": "limit",
}
"""The flags of settings that hold several values, each of which has a flag of its own."""
_SWITCH_WORDS = {
    **dict.fromkeys(("1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys(("0", "false", "f", "no", "n", "off"), False),
}

LogFormat = Literal["text", "json"]
Port = Annotated[int, Meta(ge=0, le=65535)]
UpTo64 = Annotated[int, Meta(ge=1, le=64)]


class BadSettings(Misconfigured):
    """A setting is missing or makes no sense; says which, in one line."""


class WorkSettings(Struct, frozen=True, kw_only=True):
    """How a process works on images."""

    store: str | None = None
    """The URL of a PostgreSQL database; without one the data directory says where the ledger is."""
    pools: tuple[Pool, ...] = ()
    copy_rate: Annotated[int, Meta(ge=1)] | None = None
    """Bytes per second of all copies together."""
    verify_copies: bool = False
    copies_per_pool: UpTo64 = 2
    compute_hosts: Annotated[tuple[str, ...], Meta(min_length=1)] = DEFAULT_HOSTS
    """The names of the hosts that servers are placed on. Nothing runs there."""
    address_range: IPv4Network = DEFAULT_RANGE
    """The network from which servers get addresses by DHCP. Nothing is there."""
    stalled_after: Annotated[float, Meta(gt=0)] = STALLED_S
    """Seconds without a heartbeat after which a worker is taken for dead."""
    log_format: LogFormat = "text"
    metrics_port: Port | None = None
    """Where metrics are served; the next process of the same service has the next port."""
    metrics_host: str = "127.0.0.1"

    def named_pools(self) -> dict[str, Pool]:
        """Return the pools by name, whether their directories exist or not."""
        return {pool.name: pool for pool in self.pools}


class WorkerSettings(WorkSettings, frozen=True, kw_only=True):
    """The settings of a worker, which has nothing but pools and a database."""

    store: str
    pools: Annotated[tuple[Pool, ...], Meta(min_length=1)]


class Settings(WorkSettings, frozen=True, kw_only=True):
    """The settings of one service process."""

    data: Path
    host: str = "127.0.0.1"
    port: Port = 8080
    processes: UpTo64 = 1
    """How many processes answer requests; more than one need a ledger in PostgreSQL."""
    demo: bool = False
    trusted_proxies: tuple[str, ...] = ()
    """Addresses of proxies that are believed when they say for whom they forward a request."""
    limits: Limits = Limits()
    reserve: Annotated[int, Meta(ge=0)] | None = None
    """The most bytes that are kept on the disk of a ledger in SQLite, to delete with once it is
    full; 0: none."""
    copying: bool = True
    """Off, jobs are recorded and left to workers, where the ledger is in PostgreSQL."""

    def named_pools(self) -> dict[str, Pool]:
        """Return the pools; `main`, in the data directory, if none was named."""
        return super().named_pools() or {"main": Pool("main", self.data / "pools" / "main")}


def load_settings(**flags: object) -> Settings:
    """Return the settings of a service. A flag that is None or () was not given.

    Raises `BadSettings`.
    """
    return _load(Settings, flags)


def load_worker_settings(**flags: object) -> WorkerSettings:
    """Return the settings of a worker, in the same way."""
    return _load(WorkerSettings, flags)


def checked_store(url: str) -> str:
    """Return the URL if it is that of a PostgreSQL database, else raise ValueError."""
    if not url.startswith(STORES):
        raise ValueError("a ledger is in PostgreSQL (postgresql://...), or in the directory")
    from ledger.store.postgres.address import conninfo  # few settings have such a URL

    conninfo(url)
    return url


def _load(kind: type[S], flags: Mapping[str, object]) -> S:
    """Read every setting from its flag, else from its variable; say everything that is wrong."""
    values, problems = {}, []
    for field in msgspec.structs.fields(kind):
        value = flags.get(field.name)
        if value is None or value == ():
            value = os.environ.get(ENVIRONMENT_PREFIX + field.name.upper())
        try:
            if value is not None:
                read = _READERS.get(field.name)
                values[field.name] = msgspec.convert(read(value) if read else value, field.type)
            elif field.required:
                raise ValueError("is missing")  # noqa: TRY301 - reported like other errors
        except ValueError as error:
            problems.append(f"{_names_of(field.name)}: {_reason(error, value)}")
    if problems:
        raise BadSettings("; ".join(problems))
    return kind(**values)


def _names_of(name: str) -> str:
    flag = _REPEATED.get(name, name.replace("_", "-"))
    return f"--{flag} (or {ENVIRONMENT_PREFIX}{name.upper()})"


def _reason(error: ValueError, value: object) -> str:
    if not isinstance(error, msgspec.ValidationError):
        return str(error)
    expected = str(error).partition(", got")[0].replace("`", "").lower()
    return f"{expected}, not {value!r}"


def _read_size(text: str, unit: str) -> int:
    """Read a size like `200M`; K, M, G and T are powers of 1024."""
    size = _SIZE.fullmatch(text.strip())
    if size is None:
        raise ValueError(f"{text!r} is no number of {unit} such as 200M or 1G")
    return int(size[1]) * _FACTORS[size[2].upper()]


def _read_integer(value: str | int) -> int:
    """Read as Python does: blanks around it and zeros before it do no harm."""
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"expected int, not {value!r}") from None


def _read_seconds(value: str | float) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"expected float, not {value!r}") from None


def _read_switch(value: str | bool) -> bool:  # noqa: FBT001 - a flag's value
    word = str(value).lower()
    if word not in _SWITCH_WORDS:
        raise ValueError(f"{value!r} is neither true nor false")
    return _SWITCH_WORDS[word]


def _read_log_format(text: str) -> str:
    if text not in get_args(LogFormat):
        raise ValueError(f"{text!r} is none of {', '.join(get_args(LogFormat))}")
    return text


def _read_pools(texts: str | Sequence[str]) -> tuple[Pool, ...]:
    """Read `NAME=PATH[,type=TYPE]`, each with an absolute path."""
    pools = [parse_pool(text) for text in _split(texts)]
    if len({pool.name for pool in pools}) < len(pools):
        raise ValueError("two pools have the same name")
    absolute = [Pool(pool.name, pool.path.absolute(), pool.storage_type) for pool in pools]
    if len({pool.path for pool in absolute}) < len(pools):
        raise ValueError("two pools have the same path")
    return tuple(absolute)


def _read_hosts(texts: str | Sequence[str]) -> tuple[str, ...]:
    hosts = tuple(_split(texts))
    if not all(hosts) or len(set(hosts)) < len(hosts):
        raise ValueError("each needs a name of its own")
    return hosts


def _read_range(text: str) -> IPv4Network:
    network = IPv4Network(text)
    if network.prefixlen > SHORTEST_RANGE:
        raise ValueError(f"{text} has no address to give: the longest prefix is /{SHORTEST_RANGE}")
    return network


def _read_networks(texts: str | Sequence[str]) -> tuple[str, ...]:
    """Read `10.0.0.0/8` or a single address."""
    return tuple(str(ip_network(text)) for text in _split(texts))


def _split(texts: str | Sequence[str]) -> Sequence[str]:
    """Return several values: of a flag that is repeated, or of a variable with `;` between them."""
    if not isinstance(texts, str):
        return texts
    return [text.strip() for text in texts.split(";") if text.strip()]


_READERS: Mapping[str, Callable[[Any], object]] = {
    "data": lambda path: Path(path).absolute(),
    "store": checked_store,
    "pools": _read_pools,
    "compute_hosts": _read_hosts,
    "address_range": _read_range,
    "trusted_proxies": _read_networks,
    "limits": lambda texts: read_limits(_split(texts)),
    "copy_rate": partial(_read_size, unit="bytes per second"),
    "reserve": partial(_read_size, unit="bytes"),
    "verify_copies": _read_switch,
    "demo": _read_switch,
    "copying": _read_switch,
    "log_format": _read_log_format,
    **dict.fromkeys(("port", "metrics_port", "processes", "copies_per_pool"), _read_integer),
    "stalled_after": _read_seconds,
}
"""How the settings that are more than a text are read."""
