"""What can be set from outside: by flags of the command line, else by the environment."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from api.service.logging import LogFormat
from ledger.domain.errors import Expected
from ledger.images import Pool, parse_pool
from ledger.store.postgres.address import conninfo
from ledger.workers.engine import STALLED_S

S = TypeVar("S", bound=BaseSettings)

_SIZE = re.compile(r"([0-9]+)([KMGT]?)", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


DEFAULT_HOSTS = ("main",)
STORES = ("postgresql://", "postgres://")


class BadSettings(Expected):
    """A setting is missing or makes no sense; says which, in one line."""


def parse_rate(value: Any) -> Any:
    """Bytes per second from a text like `200M`; K, M, G and T are powers of 1024."""
    if not isinstance(value, str):
        return value
    size = _SIZE.fullmatch(value.strip())
    if size is None:
        raise ValueError(f"{value!r} is no number of bytes per second such as 200M or 1G")
    return int(size[1]) * _FACTORS[size[2].upper()]


def split(value: Any) -> Any:
    """The environment names several pools, or hosts, with `;` between them."""
    if not isinstance(value, str):
        return value
    return tuple(text.strip() for text in value.split(";") if text.strip())


def checked_store(store: str) -> str:
    """The url of a PostgreSQL database. Raises ValueError for what is none."""
    if not store.startswith(STORES):
        raise ValueError("a ledger is in PostgreSQL (postgresql://...), or in the directory")
    conninfo(store)
    return store


class WorkSettings(BaseSettings):
    """How a process works on images; what is not given comes from JOB_LEDGER_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="JOB_LEDGER_", frozen=True)

    store: str | None = None
    """The url of a PostgreSQL database; without one the data directory says where the ledger is."""
    pools: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)] = ()
    """`NAME=PATH[,type=TYPE]` each."""
    copy_rate: Annotated[int | None, BeforeValidator(parse_rate)] = Field(default=None, ge=1)
    """Bytes per second of all copies together."""
    verify_copies: bool = False
    copies_per_pool: int = Field(default=2, ge=1, le=64)
    stalled_after: float = Field(default=STALLED_S, gt=0)
    """Seconds without a heartbeat after which a worker is taken for dead."""
    log_format: LogFormat = "text"
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Where metrics are told; the next process of the same service has the next port."""
    metrics_host: str = "127.0.0.1"

    @field_validator("store")
    @classmethod
    def _known_store(cls, store: str | None) -> str | None:
        return None if store is None else checked_store(store)

    @field_validator("pools")
    @classmethod
    def _known_pools(cls, pools: tuple[str, ...]) -> tuple[str, ...]:
        named = [_absolute_pool(text) for text in pools]
        if len({pool.name for pool in named}) < len(named):
            raise ValueError("two pools have the same name")
        if len({pool.path for pool in named}) < len(named):
            raise ValueError("two pools have the same path")
        return tuple(map(str, named))


class WorkerSettings(WorkSettings):
    """The settings of a worker, which has nothing but pools and a database."""

    store: str
    pools: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)] = Field(min_length=1)

    def named_pools(self) -> tuple[Pool, ...]:
        """The pools, whether their directories exist or not."""
        return tuple(parse_pool(text) for text in self.pools)


class Settings(WorkSettings):
    """The settings of one service process."""

    data: Path
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    compute_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(split)] = Field(
        default=DEFAULT_HOSTS, min_length=1
    )
    """Names: where servers are said to run. Nothing runs them."""
    processes: int = Field(default=1, ge=1, le=64)
    """That answer requests; more than one need a ledger in PostgreSQL."""
    demo: bool = False
    copying: bool = True
    """Off, jobs are recorded and left to workers, where the ledger is in PostgreSQL."""

    def named_pools(self) -> tuple[Pool, ...]:
        """The pools, whether their directories exist or not; `main` if none was named."""
        if not self.pools:
            return (Pool("main", self.data / "pools" / "main"),)
        return tuple(parse_pool(text) for text in self.pools)

    @field_validator("data")
    @classmethod
    def _absolute(cls, data: Path) -> Path:
        return data.absolute()

    @field_validator("compute_hosts")
    @classmethod
    def _distinct_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        if not all(hosts) or len(set(hosts)) < len(hosts):
            raise ValueError("each needs a name of its own")
        return hosts


def load_settings(**given: Any) -> Settings:
    """The settings with the flags that were given; None is not given. Raises `BadSettings`."""
    return _loaded(Settings, given)


def load_worker_settings(**given: Any) -> WorkerSettings:
    """The same for a worker."""
    return _loaded(WorkerSettings, given)


def _loaded(kind: type[S], given: Mapping[str, Any]) -> S:
    flags = {name: value for name, value in given.items() if value is not None}
    try:
        return kind(**flags)
    except ValidationError as error:
        raise BadSettings("; ".join(_said(problem) for problem in error.errors())) from None


def _absolute_pool(text: str) -> Pool:
    pool = parse_pool(text)
    return Pool(pool.name, pool.path.absolute(), pool.storage_type)


def _said(problem: Any) -> str:
    name = str(problem["loc"][0])
    said = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "missing":
        said = "is missing"
    flag = {"pools": "pool", "compute_hosts": "compute-host"}.get(name, name.replace("_", "-"))
    return f"--{flag} (or JOB_LEDGER_{name.upper()}): {said}"
