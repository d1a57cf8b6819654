"""Lists of drives and servers, and their filters: tests/contract/CONTRACT.md 0, 1.2 and 3.2."""

from urllib.parse import quote

import pytest

from tests.api.calling import BOB, UNKNOWN, Api
from tests.contract.following import listed, shown
from tests.harness.cases import in_turn

KINDS = in_turn("kind", ["drives", "servers"])
NAMES = ("ash", "Ash", "ash,oak", "oak", "", "a\\", "50% é_*", "ash")


async def things(api: Api, kind: str) -> list[str]:
    """One for each of the names, and another's of the same name."""
    make = api.drive if kind == "drives" else api.server
    await make(name="ash", by=BOB)
    return [await make(name=name) for name in NAMES]


FILTERS = [
    ("name=ash", {0, 7}),
    ("name=ash,oak", {0, 3, 7}),
    (r"name=ash\,oak", {2}),
    (r"name=ash\,oak,oak", {2, 3}),
    ("name=ash&name=oak", set()),
    ("name=ash,oak&name=oak,Ash", {3}),
    ("name=", {4}),
    ("name=,oak", {3, 4}),
    ("name=a\\\\,oak", {3, 5}),
    ("name=a\\", {5}),
    (f"name={quote('50% é_*')}", {6}),
    ("name=ASH", set()),
    ("name__contains=ash", {0, 1, 2, 7}),
    ("name__contains=sh,k", {0, 1, 2, 3, 7}),
    (r"name__contains=\,", {2}),
    ("name__contains=sh&name__contains=k", {2}),
    ("name__contains=%25", {6}),
    ("name__contains=_", {6}),
    ("name__contains=*", {6}),
    ("name__contains=ASH", {0, 1, 2, 7}),
    ("name__icontains=ASH", {0, 1, 2, 7}),
    ("name__icontains=ASH&name__contains=oAk", {2}),
    ("name__icontains=zzz", set()),
    ("name__contains=", set(range(8))),
    ("name__contains=%C3%A9", {6}),
    ("name__contains=%C3%89", {6}),
    ("name__contains=e", set()),
    ("name__contains=e%CC%81", set()),
    ("name__contains=oak&name=oak", {3}),
    ("name__startswith=zzz&status=x&nonsense=5", set(range(8))),
]
"""Queries, and which of `things` they find."""


@KINDS
async def test_names_are_filtered(api: Api, kind: str, subtests: pytest.Subtests):
    """`name` is the whole name, exactly, `name__contains` a part; unknown ones are ignored.

    Of a part case folds, as Unicode has it, but neither accents nor two ways of writing a letter.
    """
    uuids = await things(api, kind)
    for query, found in FILTERS:
        for detail in ("", "detail/"):
            with subtests.test(query=query, detail=detail):
                page = await shown(api, f"/{kind}/{detail}?{query.replace(chr(92), '%5C')}")
                shown_uuids = [each["uuid"] for each in page["objects"]]
                assert shown_uuids == [uuids[nth] for nth in sorted(found)]
                assert page["meta"]["total_count"] == len(found)


@KINDS
async def test_uuids_are_filtered(api: Api, kind: str):
    """`uuid` selects any of several, unknown and foreign ones aside; escaped commas are commas."""
    uuids = await things(api, kind)
    for uuid in (uuids[3], uuids[3].upper()):
        assert await listed(api, f"/{kind}/?uuid={uuid}") == [uuids[3]]
    several = f"{uuids[3]}%2C{UNKNOWN},{uuids[1]},nonsense"
    assert await listed(api, f"/{kind}/detail/?uuid={several}") == [uuids[1], uuids[3]]
    assert await listed(api, f"/{kind}/?uuid={uuids[3]}&uuid={uuids[1]}") == []


@KINDS
async def test_a_filtered_list_has_pages(api: Api, kind: str):
    """total_count counts all matches before paging; past the end there is nothing."""
    uuids = await things(api, kind)
    for offset, expected in ((0, [uuids[0]]), (1, [uuids[7]]), (2, []), (10**9, [])):
        page = await shown(api, f"/{kind}/?name=ash&limit=1&offset={offset}")
        assert page["meta"] == {"limit": 1, "offset": offset, "total_count": 2}
        assert [each["uuid"] for each in page["objects"]] == expected
    whole = await shown(api, f"/{kind}/?name=ash&limit=0&offset=1")
    assert whole["meta"] == {"limit": 0, "offset": 1, "total_count": 2}
    assert [each["uuid"] for each in whole["objects"]] == [uuids[7]]


@KINDS
async def test_fields_of_a_filtered_list(api: Api, kind: str):
    """`fields` gives exactly these keys, in plain and detail lists, with filters and without."""
    uuids = await things(api, kind)
    several = ("fields=name,uuid", "fields=name&fields=uuid", "fields=name%2Cuuid%2Cnonsense")
    for path in (f"/{kind}/", f"/{kind}/detail/"):
        for query in several:
            page = await shown(api, f"{path}?limit=0&{query}&name=oak")
            assert page["objects"] == [{"name": "oak", "uuid": uuids[3]}]
        (whole,) = (await shown(api, f"{path}?fields=meta,jobs&name=oak"))["objects"]
        assert whole == {"meta": {}, "jobs": []}


@KINDS
async def test_limit_on_every_get(api: Api, kind: str):
    """`?limit=0` is ignored on single objects, schemas and availability groups."""
    uuids = await things(api, kind)
    for path in (
        f"/{kind}/{uuids[0]}/",
        f"/{kind}/schema/",
        f"/{kind}/availability_groups/",
        f"/{kind}/availability_groups/{uuids[0]}/",
    ):
        without, with_limit = await api.get(path), await api.get(f"{path}?limit=0&nonsense=x")
        assert (with_limit.status, with_limit.body) == (200, without.body)
