"""`/profile/`: tests/contract/CONTRACT.md 5."""

from typing import Any

from tests.api.calling import ALICE, BOB, Api
from tests.contract.following import Json, shown
from tests.harness.cases import in_turn

CHOSEN = {
    "address": "Elm Row 5",
    "company": "Kettle & Co",
    "country": "SE",
    "first_name": "Alice",
    "mailing_list": True,
    "meta": {"note": "é"},
    "my_notes": "",
}
DECIMALS = (
    "autotopup_amount",
    "autotopup_threshold",
    "tx_autotopup_amount",
    "tx_autotopup_threshold",
)


async def edit(api: Api, **said: Any) -> Json:
    answer = await api.put("/profile/", said)
    assert answer.status == 200, answer.body
    found: Json = answer.json
    return found


async def test_a_profile_is_the_accounts(api: Api):
    """The bare object has uuid and email of whoever asks, its decimals are texts."""
    profile = await shown(api, "/profile/?limit=0")
    assert (profile["uuid"], profile["email"]) == (ALICE.uuid, ALICE.email)
    assert profile["signup_time"].endswith("+00:00")
    assert {profile[name] for name in DECIMALS} == {"0E-16"}


async def test_put_takes_the_whole_profile(api: Api):
    """The answer of a GET with some fields changed is sent back; exactly those are changed."""
    before = await shown(api, "/profile/")
    after = await edit(api, **{**before, **CHOSEN, "clone_naming": "DATE"})
    assert after == {**before, **CHOSEN, "clone_naming": "DATE"}
    assert await shown(api, "/profile/") == after
    assert await edit(api, **after) == after


async def test_put_is_partial(api: Api):
    """What is not given, or null, stays."""
    before = await edit(api, **CHOSEN)
    after = await edit(api, last_name="Elm", company=None, meta=None, clone_naming=None)
    assert after == {**before, "last_name": "Elm"}
    assert await edit(api) == after


async def test_read_only_keys_are_passed_over(api: Api):
    """uuid, email, state, currency, bank_reference, reseller, tax fields and unknown ones."""
    before = await shown(api, "/profile/")
    passed_over = {
        "uuid": BOB.uuid,
        "email": BOB.email,
        "state": 5,
        "currency": "SEK",
        "bank_reference": [],
        "reseller": "x",
        "tax_name": "VAT",
        "tax_rate": "0.25",
        "signup_time": None,
        "nonsense": {},
    }
    assert await edit(api, **passed_over) == before


async def test_each_account_has_its_own(api: Api):
    """What one account says of itself is not in another's profile."""
    await edit(api, **CHOSEN, clone_naming="COUNTER")
    bob = (await api.get("/profile/", by=BOB)).json
    assert (bob["uuid"], bob["company"], bob["clone_naming"]) == (BOB.uuid, "", "NONE")


@in_turn("method", ["POST", "DELETE", "PATCH"])
async def test_a_profile_is_only_got_and_put(api: Api, method: str):
    """Any other method is a 405 with Allow."""
    answer = await api.call(method, "/profile/")
    assert answer.error == (405, "validation", None)
    assert set(answer.headers["Allow"].split(",")) >= {"GET", "PUT", "OPTIONS"}


async def test_the_schema_has_every_field(api: Api):
    """Every key of the profile is described, and clone_naming's choices."""
    schema = await shown(api, "/profile/schema/")
    assert set(await shown(api, "/profile/")) == set(schema["fields"])
