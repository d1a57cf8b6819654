"""Values of JSON, as people write them."""

import pytest

from api.client.format import in_words


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"bytes_done": 4096}, "bytes done: 4096"),
        ({"auto_start": True}, "auto start: yes"),
        ({"auto_start": False}, "auto start: no"),
        ({"error": "no room"}, "error: no room"),
        ({"tags": []}, "tags: none"),
        ({"tags": ["a", "b"]}, "tags: a; b"),
        ({"meta": {}}, "meta: none"),
        ({"nics": [{"mac": "22:33", "vlan": None}]}, "nics: mac 22:33"),
        ({"from": {"size": 1, "at": {"x_y": 2}}}, "from: size 1, at x y 2"),
    ],
)
def test_a_field_is_words(fields: dict[str, object], said: str) -> None:
    assert in_words(fields) == [said]


def test_what_has_no_value_is_left_out() -> None:
    assert in_words({"parent": None, "ordinal": 0}) == ["ordinal: 0"]
