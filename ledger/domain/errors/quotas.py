"""What would be more than an account, or the whole service, may have."""

from collections.abc import Mapping

from ledger.domain.errors import Refusal


class OverQuota(Refusal):
    """The account owns or has recorded as much as it may; `resource` has the name of the limit."""

    def __init__(self, resource: str, message: str) -> None:
        super().__init__(message)
        self.resource = resource


class QuotaExceeded(OverQuota):
    """The account, or one of its things, has as many things of a kind as it may have."""

    def __init__(self, kind: str, limit: int) -> None:
        owner = _OWNERS.get(kind, "the account")
        has, helps = _QUOTAS[kind]
        super().__init__(kind, f"{owner} has {limit:,} {has}, and may have no more: {helps}")
        self.limit = limit


_QUOTAS: Mapping[str, tuple[str, str]] = {
    "drives": ("drives", "delete some"),
    "servers": ("servers", "delete some"),
    "addresses": ("addresses in use", "stop some servers"),
    "tags": ("tags", "delete some"),
    "keypairs": ("keypairs", "delete some"),
    "tokens": ("tokens", "remove some"),
    "jobs-running": ("running jobs", "cancel some, or wait until they end"),
    "max-running": ("running jobs", "wait until some have ended"),
    "jobs-kept": ("jobs", "those that have ended are discarded after some time"),
    "things-per-tag": ("drives and servers", "remove it from some, or use another tag"),
    "tags-per-thing": ("tags", "remove some"),
    "servers-per-drive": ("servers that mount it", "take it from some, or mount a copy"),
    "tag-changes": ("changes of tags", "name fewer drives and servers at once"),
}
"""What each kind is called in a refusal, and what helps."""

_OWNERS: Mapping[str, str] = {
    "things-per-tag": "the tag",
    "tags-per-thing": "the drive or server",
    "servers-per-drive": "the drive",
    "tag-changes": "the request",
    "max-running": "the token",
}
"""What has the quota, where that is not the account."""


class TooManyUploads(OverQuota):
    """Too many uploads have begun and are not finished."""

    def __init__(self, limit: int, *, of_all: bool) -> None:
        super().__init__(
            "unfinished-uploads",
            f"{'the service' if of_all else 'the account'} has {limit:,} uploads that are not"
            " finished, and may have no more: finish some, or delete their drives",
        )


class LedgerBytesSpent(OverQuota):
    """The account has recorded as much in a day as it may."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "ledger-bytes-a-day",
            f"the account has recorded {limit:,} bytes of changes in 24 hours, and may record no"
            " more: try again later; what it has can be read, stopped, cancelled and deleted",
        )
        self.limit = limit
