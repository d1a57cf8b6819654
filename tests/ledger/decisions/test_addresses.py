"""Addresses of servers: given when they start, and no two running ones of an account alike."""

import random
from collections.abc import Iterable

import pytest

from ledger.domain.aggregates.relations import Relation, Relations, change_relations
from ledger.domain.aggregates.server import Server
from ledger.domain.commands.servers import ChangePower, CloneServer, DeleteServers
from ledger.domain.context import Fact
from ledger.domain.decisions.addresses import FreeAddresses
from ledger.domain.errors.quotas import QuotaExceeded
from ledger.domain.errors.servers import AddressInUse, NoAddressLeft
from ledger.domain.event_rules import violation
from ledger.domain.events.servers import Address, IpConf, Nic, ServerPowerChanged
from ledger.domain.quotas import Quotas
from tests.support.deciding import Given, History, given
from tests.support.world import ME, SOMEBODY_ELSE, Foreseen, machine, server_created

MAC = "22:aa:01:02:03:04"
DHCP = IpConf("dhcp")


def card(mac: str = MAC, **said: object) -> Nic:
    return Nic(mac, **{"ip_v4_conf": DHCP, **said})


def static(ip: str, mac: str = MAC) -> Nic:
    return Nic(mac, ip_v4_conf=IpConf("static", ip))


def start(server: str = "s", owner: str = ME) -> ChangePower:
    return ChangePower(owner, server, "start")


def addresses(world: Given, server: str = "s") -> dict[str, str]:
    """Return the addresses of a server's cards, by mac."""
    state = world.world.server(server)
    assert isinstance(state, Server)
    return {address.mac: address.ip for address in state.addresses}


def narrow(network: str) -> Foreseen:
    return Foreseen(addresses=network)


def test_a_started_server_gets_an_address_for_each_card_with_dhcp() -> None:
    """It ends as the mac does, and the event has it, so that replay gives the same."""
    others = (Nic("22:00:00:00:00:01", vlan="v"), Nic("22:00:00:00:00:02"))
    manual = Nic("22:00:00:00:00:03", ip_v4_conf=IpConf("manual"))
    given(server_created("s", nics=(card(), *others, manual, card("22:00:00:00:05:06")))).when(
        start()
    ).then(
        Fact(
            "server-s",
            ServerPowerChanged(
                "start",
                "running",
                "host-b",
                (
                    Address(MAC, "10.2.3.4", "10.0.0.0/8"),
                    Address("22:00:00:00:05:06", "10.0.5.6", "10.0.0.0/8"),
                ),
            ),
        )
    )


@pytest.mark.parametrize(
    ("mac", "network", "ip"),
    [
        ("22:00:00:00:00:00", "10.0.0.0/8", "10.0.0.2"),  # the network's own
        ("22:00:00:00:00:01", "10.0.0.0/8", "10.0.0.2"),  # its gateway's
        ("22:00:00:00:00:02", "10.0.0.0/8", "10.0.0.2"),
        ("22:00:00:ff:ff:ff", "10.0.0.0/8", "10.0.0.2"),  # its broadcast's
        ("22:00:00:ff:ff:fe", "10.0.0.0/8", "10.255.255.254"),
        ("22:00:00:00:01:9c", "192.0.2.128/25", "192.0.2.156"),
        ("22:00:00:00:00:00", "192.0.2.4/30", "192.0.2.6"),
    ],
)
def test_an_address_ends_as_the_mac_does(mac: str, network: str, ip: str) -> None:
    environment = narrow(network)
    assert FreeAddresses(environment.address_range(), ()).draw(mac) == ip


def test_the_next_free_address_is_drawn() -> None:
    """From the end of the network it goes on at its beginning."""
    network = narrow("192.0.2.0/29").address_range()
    drawn: list[str] = []
    free = FreeAddresses(network, drawn)
    for _ in range(5):
        drawn += [free.draw("22:00:00:00:00:05")]
    assert drawn == [f"192.0.2.{host}" for host in (5, 6, 2, 3, 4)]
    with pytest.raises(NoAddressLeft, match=r"192\.0\.2\.0/29"):
        free.draw("22:00:00:00:00:05")


class Used(set[str]):
    """Counts how often somebody looks."""

    looks = 0

    def __contains__(self, ip: object) -> bool:
        self.looks += 1
        return super().__contains__(ip)


def test_what_is_used_is_looked_at_once_however_many_are_drawn() -> None:
    """The writer decides for all accounts, and an owner chooses the macs of a thousand cards."""
    used = Used()
    free = FreeAddresses(narrow("10.0.0.0/8").address_range(), used)
    for nth in range(1_000):
        used.add(free.draw(f"22:{nth // 256:02x}:{nth % 256:02x}:aa:bb:cc"))
    assert len(used) == 1_000
    assert used.looks <= 3 * len(used)


def test_the_addresses_of_a_server_change_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an account uses is copied once for an event, and not for each of a thousand cards."""
    cards = tuple(card(f"22:00:00:00:01:{nth:02x}") for nth in range(9))
    world = given(server_created("s", nics=cards))
    changed: list[Relations] = []

    def change(relations: Relations, *changes: Iterable[Relation]) -> Relations:
        changed.append(change_relations(relations, *changes))
        return changed[-1]

    monkeypatch.setattr("ledger.store.unit_of_work.change_relations", change)
    for action in ("start", "stop"):
        world.world.settle(world.when(ChangePower(ME, "s", action)).world)
    assert [len(relations.addresses) for relations in changed] == [9, 0]


def test_no_two_running_servers_of_an_account_have_the_same(seed: int) -> None:
    """However they are started and stopped, in a network that is nearly full."""
    draw = random.Random(seed)  # noqa: S311 - a test's history
    servers = [f"s{nth}" for nth in range(16)]
    world = given(
        *(
            server_created(uuid, nics=(card(f"22:00:00:00:00:{draw.randrange(256):02x}"),))
            for uuid in servers
        ),
        environment=narrow("192.0.2.0/28"),
    )
    running: set[str] = set()
    for _ in range(300):
        server = draw.choice(servers)
        action = "stop" if server in running else "start"
        outcome = world.when(ChangePower(ME, server, action))
        if outcome.refusal is not None:
            assert isinstance(outcome.refusal, NoAddressLeft)
            assert len(running) == 13  # beside the network, its gateway and its broadcast
            continue
        world.world.settle(outcome.world)
        running ^= {server}
        used = [ip for uuid in running for ip in addresses(world, uuid).values()]
        assert len(set(used)) == len(used) == len(running)


def test_another_account_may_have_the_same() -> None:
    """Accounts have networks of their own."""
    world = given(
        server_created("s", nics=(card(),)),
        server_created("theirs", nics=(card(),), owner=SOMEBODY_ELSE),
        start(),
        start("theirs", SOMEBODY_ELSE),
    )
    assert addresses(world) == addresses(world, "theirs") == {MAC: "10.2.3.4"}


def test_a_stopped_server_gives_its_address_back() -> None:
    """To whoever starts next; when it starts again itself it gets another."""
    world = given(
        server_created("s", nics=(card(),)),
        server_created("t", nics=(card(),)),
        start(),
        start("t"),
        ChangePower(ME, "s", "shutdown"),
        ChangePower(ME, "t", "stop"),
        start("t"),
        start(),
    )
    assert addresses(world, "t") == {MAC: "10.2.3.4"}
    assert addresses(world) == {MAC: "10.2.3.5"}


def test_a_restart_keeps_the_addresses() -> None:
    """Also where the range has changed since."""
    world = given(server_created("s", nics=(card(),)), start())
    outcome = world.when(ChangePower(ME, "s", "restart"))
    kept = (Address(MAC, "10.2.3.4", "10.0.0.0/8"),)
    outcome.then(Fact("server-s", ServerPowerChanged("restart", "running", "host-b", kept)))


def test_a_restart_gives_addresses_to_a_server_that_was_started_without() -> None:
    """As earlier versions started it; until then it has none."""
    before = Fact("server-s", ServerPowerChanged("start", "running", "host-b"))
    world = given(
        server_created("s", nics=(card(),)), server_created("t", nics=(card(),)), before, start("t")
    )
    assert addresses(world) == {}
    outcome = world.when(ChangePower(ME, "s", "restart"))
    assert [event.addresses for event in outcome.events_of("server-s")] == [
        (Address(MAC, "10.2.3.5", "10.0.0.0/8"),)
    ]


def test_a_static_address_is_not_drawn() -> None:
    """Neither that of another running server nor that of another card."""
    world = given(
        server_created("t", nics=(static("10.2.3.4"),)),
        start("t"),
        server_created("s", nics=(card(), static("10.2.3.5", "22:00:00:00:00:01"))),
        start(),
    )
    assert addresses(world) == {MAC: "10.2.3.6"}
    assert addresses(world, "t") == {}


V6 = Nic(MAC, ip_v6_conf=IpConf("static", "2001:db8::1"))


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [(static("10.2.3.4"), static("10.2.3.4")), (card(), static("10.2.3.4")), (V6, V6)],
    ids=["static", "drawn", "IPv6"],
)
def test_a_static_address_that_is_in_use_refuses_the_start(theirs: Nic, mine: Nic) -> None:
    """Until the other server has stopped."""
    running = (
        server_created("t", nics=(theirs,)),
        server_created("s", nics=(mine,)),
        start("t"),
    )
    conf = mine.ip_v4_conf or mine.ip_v6_conf
    assert conf is not None
    assert conf.ip is not None
    given(running).when(start()).then_refused(AddressInUse, conf.ip, point="nics")
    assert given(running, ChangePower(ME, "t", "stop")).when(start()).refusal is None


def test_a_server_cannot_have_a_static_address_twice() -> None:
    both = (static("10.2.3.4"), static("10.2.3.4", "22:00:00:00:00:01"))
    given(server_created("s", nics=both)).when(start()).then_refused(
        AddressInUse, "10.2.3.4", point="nics"
    )


def test_two_servers_that_shared_a_static_address_before_go_on() -> None:
    """It stays in use until the last of them has stopped."""
    running = ServerPowerChanged("start", "running", "host-b")
    one_stopped = (
        *(server_created(uuid, nics=(static("10.2.3.4"),)) for uuid in ("t", "u", "s")),
        Fact("server-t", running),
        Fact("server-u", running),
        ChangePower(ME, "t", "restart"),
        ChangePower(ME, "t", "stop"),
    )
    given(one_stopped).when(start()).then_refused(AddressInUse, point="nics")
    assert given(one_stopped, ChangePower(ME, "u", "stop")).when(start()).refusal is None


def test_a_full_network_refuses_the_start() -> None:
    """And says what to do."""
    given(
        server_created("t", nics=(card(),)),
        server_created("s", nics=(card(),)),
        start("t"),
        environment=narrow("192.0.2.0/30"),
    ).when(start()).then_refused(NoAddressLeft, "stop one of them", point="nics")


def test_a_clone_has_no_address_before_it_is_started() -> None:
    """Then it has another, as its mac is another."""
    world = given(server_created("s", nics=(card(),)), start(), CloneServer(ME, "s", "copy", "j"))
    assert addresses(world, "copy") == {}
    world = given(
        server_created("s", nics=(card(),)),
        start(),
        CloneServer(ME, "s", "copy", "j"),
        start("copy"),
        ChangePower(ME, "s", "stop"),
        DeleteServers(ME, ("s",)),
    )
    assert addresses(world, "copy") == {"22:00:00:00:00:01": "10.0.0.2"}


# As an auditor judges it

ONE = Address(MAC, "10.2.3.4", "10.0.0.0/8")
ILLEGAL = {
    "a stopped server got an address": ServerPowerChanged("stop", "stopped", None, (ONE,)),
    "an address was not for one card with DHCP": ServerPowerChanged(
        "restart", "running", "host-b", (ONE, ONE)
    ),
}


@pytest.mark.parametrize("reason", ILLEGAL)
def test_an_address_out_of_place_is_illegal(reason: str) -> None:
    world = given(server_created("s", nics=(card(),)), start())
    assert violation(world.world.server("s"), "server-s", ILLEGAL[reason]) == reason


@pytest.mark.parametrize("nic", [static("10.2.3.4"), card("22:00:00:00:00:09"), Nic(MAC, vlan="v")])
def test_an_address_of_no_card_with_dhcp_is_illegal(nic: Nic) -> None:
    world = given(server_created("s", nics=(nic,)))
    event = ServerPowerChanged("start", "running", "host-b", (ONE,))
    assert violation(world.world.server("s"), "server-s", event) == (
        "an address was not for one card with DHCP"
    )


def of_three_cards(server: str) -> Fact:
    """A server that uses two addresses when it runs."""
    return server_created(
        server,
        nics=(card(f"22:00:00:00:01:{server}"), static(f"192.0.2.{int(server)}"), Nic("22:aa")),
    )


def with_quota(addresses: int, *history: History) -> Given:
    return given(*history, environment=Foreseen(quotas=Quotas(addresses=addresses)))


def test_no_more_addresses_than_the_quota() -> None:
    """Of whichever kind; another account's do not count, nor those of servers that have stopped."""
    theirs = server_created("30", nics=(card(),), owner=SOMEBODY_ELSE), start("30", SOMEBODY_ELSE)
    world = with_quota(3, theirs, of_three_cards("10"), of_three_cards("20"), start("10"))
    words = "the account has 3 addresses in use, and may have no more: stop some servers"
    world.when(start("20")).then_refused(QuotaExceeded, words)
    stopped = with_quota(
        3, of_three_cards("10"), of_three_cards("20"), start("10"), ChangePower(ME, "10", "stop")
    )
    assert stopped.when(start("20")).refusal is None


def test_beyond_a_lower_quota_servers_go_on_and_start_without_addresses() -> None:
    world = given(of_three_cards("10"), server_created("s"), start("10"))
    world._circumstances = Foreseen(quotas=Quotas(addresses=1))
    for command in (ChangePower(ME, "10", "restart"), ChangePower(ME, "10", "stop"), start()):
        assert world.when(command).refusal is None


def test_a_clone_that_may_have_no_address_stays_stopped() -> None:
    """Its job succeeds all the same."""
    itself = machine(auto_start=True)
    source = server_created("s", definition=itself, nics=(card(),))
    for quota, power in ((1, "running"), (2, "running"), (0, "running")):
        outcome = with_quota(quota, source).when(CloneServer(ME, "s", "copy", "j"))
        copy = outcome.world.server("copy")
        assert copy is not None
        assert copy.power == power
    used = with_quota(1, source, start()).when(CloneServer(ME, "s", "copy", "j"))
    copy = used.world.server("copy")
    assert copy is not None
    assert (used.refusal, copy.power) == (None, "stopped")
