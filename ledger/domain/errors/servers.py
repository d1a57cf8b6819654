"""What cannot be done to a server, or to its addresses."""

from ledger.domain.errors import Invalid, NotFound, NothingWithUuid, WrongState


class ServerNotFound(NothingWithUuid):
    thing = "server"


class IpNotFound(NotFound):
    """No running server of the account uses the address."""

    def __init__(self, ip: str) -> None:
        super().__init__(f"no running server uses the address {ip}")


class ServerBusy(WrongState):
    """A running job needs the server."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"server {uuid} is needed by a running job")


class ServerRunning(WrongState):
    """The server is running, or a running server mounts the drive."""

    def __init__(self, uuid: str, *, drive: str | None = None) -> None:
        mounted = "" if drive is None else f" and mounts drive {drive}"
        super().__init__(f"server {uuid} is running{mounted}")


class ServerStopped(WrongState):
    """The server is not running."""

    def __init__(self, uuid: str) -> None:
        super().__init__(f"server {uuid} is not running")


class AddressInUse(WrongState):
    """A static address is used by another card of the account, whose server runs."""

    point = "nics"

    def __init__(self, ip: str) -> None:
        super().__init__(f"address {ip} is used by another card of a running server")


class NoAddressLeft(WrongState):
    """The account's running servers use all addresses of the network."""

    point = "nics"

    def __init__(self, network: str) -> None:
        super().__init__(
            f"running servers use all addresses of {network}: stop one of them, or ask the operator"
            " for a wider --address-range"
        )


class CpuTooLow(Invalid):
    """The cpu is too low for the number of smp."""

    point = "smp"

    def __init__(self, least_mhz: int) -> None:
        super().__init__(f"smp must leave each of them {least_mhz} MHz of cpu")
