"""`/keypairs/`: pairs that are made, and what is refused. tests/contract/CONTRACT.md 5."""

import asyncio
import threading
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_ssh_private_key,
)

from api.resources.keypairs import keys
from api.resources.keypairs.keys import KeyMaker, SshKeys, fingerprint, make_keys, read_public_key
from tests.api.calling import ALICE, BOB, KEYPAIR, PUBLIC_KEY, Api
from tests.support.wait import patience


async def test_a_pair_is_made(api: Api):
    """RSA of 2,048 bits, or Ed25519; the private key belongs to it, and is shown once."""
    body = [{"name": "a"}, {"name": "b", "algorithm_type": "ed25519", "public_key": None}]
    rsa, ed25519 = (await api.post("/keypairs/", body)).json["objects"]
    private = load_pem_private_key(rsa["private_key"].encode(), None)
    assert isinstance(private, RSAPrivateKey)
    assert private.key_size == 2048
    assert rsa["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    other = load_ssh_private_key(ed25519["private_key"].encode(), None)
    for key, made in ((private, rsa), (other, ed25519)):
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        assert made["public_key"] == public.decode()
        now = {**made, "private_key": ""}
        assert (await api.get(made["resource_uri"])).json == now
        assert (await api.put(made["resource_uri"], made)).json == made
        for path in ("/keypairs/", "/keypairs/detail/?limit=0"):
            assert now in (await api.get(path)).json["objects"]


WRONG: list[tuple[Any, str]] = [
    ({"name": "x", "public_key": key}, "public_key")
    for key in (
        "nonsense",
        "ssh-ed25519",
        "ssh-rsa AAAA",
        "ssh-dss AAAAB3NzaC1kc3MAAACBAA==",
        PUBLIC_KEY.replace("ssh-ed25519", "ssh-rsa"),
        f"{PUBLIC_KEY}\n{PUBLIC_KEY}",
        f'command="x" {PUBLIC_KEY}',
        # What is no Base64 is left out by some readers, and ends the key for others.
        *(PUBLIC_KEY.replace("AAAA", f"AAA{blank}A", 1) for blank in "\xa0\u3000\x1f!\x00="),
        "-----BEGIN PUBLIC KEY-----",
        "é" * 20_000,
        7,
    )
]
WRONG += [
    ({"public_key": PUBLIC_KEY}, "name"),
    ({"name": "x", "private_key": "mine"}, "public_key"),
    ({"name": "x", "algorithm_type": "dsa"}, "algorithm_type"),
    ([{"name": "x"}] * 11, "public_key"),
    ([KEYPAIR, {"name": "x", "public_key": "nonsense"}], "public_key"),
]


async def test_what_is_wrong_is_refused(api: Api):
    """A 400 that names the field, and nothing is made of the others in the request."""
    for body, point in WRONG:
        assert (await api.post("/keypairs/", body)).error == (400, "validation", point), body
    assert (await api.get("/keypairs/")).json["objects"] == []


async def test_accounts_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who wants many waits for each of them behind everybody else's next one."""
    may_go_on = threading.Event()
    under_way: list[str] = []
    made: list[str] = []

    def make(algorithm: keys.Algorithm) -> SshKeys:
        may_go_on.wait()
        under_way.append(algorithm)
        assert len(under_way) == 1
        under_way.pop()
        return SshKeys("public")

    async def ask(account: str) -> None:
        await maker.make("rsa", account)
        made.append(account)

    monkeypatch.setattr(keys, "make_keys", make)
    maker = KeyMaker()
    async with patience("for five pairs"), asyncio.TaskGroup() as tasks:
        for account in (*[ALICE.uuid] * 4, BOB.uuid):
            tasks.create_task(ask(account))
            await asyncio.sleep(0)  # it has its place in the queue
        may_go_on.set()
    assert made == [ALICE.uuid, BOB.uuid, *[ALICE.uuid] * 3]


def test_what_is_made_can_be_given() -> None:
    made = make_keys("ed25519")
    assert read_public_key(made.public) == made.public
    assert make_keys("ed25519") != made


def test_the_comment_is_no_part_of_the_fingerprint() -> None:
    assert fingerprint(PUBLIC_KEY) == fingerprint(f"{PUBLIC_KEY} and more")
    assert len(fingerprint(PUBLIC_KEY)) == len("5e:7e:11:f6:08:27:35:7b:3b:e6:80:ce:54:4b:5c:d7")
