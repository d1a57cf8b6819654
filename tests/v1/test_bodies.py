"""Bodies below `/api/v1`: what nobody knows, what cannot be, and what is mended."""

from typing import Any

from tests.v1.calling import V1, problem_of

HERE = {"operation": "backup", "instance": "here"}
JSON = {"Content-Type": "application/json"}
LENIENT = {"Prefer": "respond-async, handling=lenient"}


async def test_unknown_fields_are_refused_or_ignored(v1: V1) -> None:
    """All of them are named at once, however deep; so a client can leave out just these."""
    said = {
        **HERE,
        "colour": "red",
        "producer": {"pid": 1, "cpu": 2},
        "labels": {"any": "thing"},
        "links": [{"rel": "a", "href": "https://a.example.test/", "size": 1}],
        "end": {"outcome": "succeeded", "result": {"any": {"thing": 1}}},
    }
    unknown = ["colour", "producer.cpu", "links.0.size"]
    refused = await v1.refused("POST", "/jobs", said)
    assert (refused["type"], refused["status"]) == ("unknown-field", 400)
    assert sorted(refused["unknown"]) == sorted(unknown)
    answer = await v1.post("/jobs", said, headers=LENIENT)
    assert (answer.status, sorted(answer.json["ignored"])) == (201, sorted(unknown))
    assert "ignored" not in (await v1.post("/jobs", HERE, headers=LENIENT)).json
    # Parameters never are.
    refused = await v1.refused("POST", "/jobs?dry=1", HERE, headers=LENIENT)
    assert (refused["type"], refused["unknown"]) == ("unknown-field", ["dry"])


async def test_bad_values_name_their_field(v1: V1) -> None:
    """With the place within it, in a problem that the client's programmer understands."""
    bad: dict[str, tuple[dict[str, Any], int]] = {
        "operation": ({"operation": 7}, 400),
        "producer.pid": ({"producer": {"pid": -1}}, 400),
        "ends": ({"ends": "never"}, 400),
        "sent_at": ({"sent_at": "2026-11-29T01:00:02"}, 400),
        "parent": ({"parent": "no uuid"}, 400),
        "expect_children": ({"ends": "children", "expect_children": 0}, 400),
        "tolerate": ({"tolerate": ["failed"]}, 422),
        "end.outcome": ({"end": {"outcome": "lost"}}, 400),
        "traceparent": ({"traceparent": "00-xyz"}, 400),
    }
    for field, (said, status) in bad.items():
        refused = await v1.refused("POST", "/jobs", {**HERE, **said})
        assert (refused["type"], refused["status"], refused["field"]) == (
            "bad-value",
            status,
            field,
        )
    assert (await v1.refused("POST", "/jobs", {}))["field"] == "operation"
    assert (await v1.refused("POST", "/jobs", {"operation": "drive_clone"}))["status"] == 422


async def test_names_are_one_line(v1: V1) -> None:
    """Without control and bidirectional characters, so that no list or terminal shows another."""
    for bad in ("a\nb", "a\x1b[0m", "a\x00", "\u202ea", "a\u2066", "a\u2028b", "", "x" * 201):
        for field in ("operation", "source", "series", "external_id"):
            refused = await v1.refused("POST", "/jobs", {**HERE, field: bad})
            assert (refused["type"], refused["field"]) == ("bad-value", field), (bad, field)
    assert (await v1.post("/jobs", {**HERE, "series": "ärztliche Prüfung/日本 " * 8})).status == 201


async def test_addresses_hold_no_passwords_and_links_are_of_the_web(v1: V1) -> None:
    """Events are kept for long, and people click on links."""
    href = ("javascript:alert(1)", "ftp://a.example.test/", "https://u:p@a.example.test/", "https:")
    href += ("https://a.example.test/\n", "https:\\\\a.example.test", "https://@a.example.test")
    href += ("https://a.example.test/\u202egpj.exe",)
    for bad in (*href, "https://a.example.test/" + "x" * 2000):
        said = {**HERE, "links": [{"rel": "r", "href": bad}]}
        refused = await v1.refused("POST", "/jobs", said)
        assert (refused["status"], refused["field"]) == (422, "links"), bad
    for bad in (
        "urn:\u202etxt.exe",
        "postgres://me:secret@db/photos",
        "no scheme",
        "s3://key@bucket",
        "file:/a b",
    ):
        refused = await v1.refused("POST", "/jobs", {**HERE, "subjects": [{"uri": bad}]})
        assert (refused["status"], refused["field"]) == (422, "subjects"), bad
    good = ("postgres://db/photos", "mailto:ops@example.test", "urn:isbn:1", "https://a/?x=u@v")
    said = {**HERE, "subjects": [{"uri": uri} for uri in good]}
    assert (await v1.post("/jobs", said)).status == 201


async def test_sizes(v1: V1) -> None:
    """Of bodies, and of what a job may have; the answer names the limit."""
    refused = await v1.refused("POST", "/jobs", {**HERE, "title": "x" * 32 * 1024})
    assert refused == {"type": "too-large", "status": 413, "limit": 32 * 1024}
    link, subject = {"rel": "a", "href": "https://a.example.test/"}, {"uri": "urn:a"}
    for field, limit, many in (
        ("labels", 32, {f"k{nth}": "v" for nth in range(33)}),
        ("links", 16, [link] * 17),
        ("subjects", 32, [subject] * 33),
    ):
        refused = await v1.refused("POST", "/jobs", {**HERE, field: many})
        assert refused == {
            "type": "bad-value",
            "status": 422,
            "field": field,
            "limit": limit,
        }
    job = (await v1.post("/jobs", HERE)).json["job"]["uuid"]
    end = {"outcome": "failed", "error": {"tail": "x" * 60 * 1024}}
    assert (await v1.post(f"/jobs/{job}/end", end)).status == 200
    end = {"outcome": "failed", "error": {"tail": "x" * 72 * 1024}}
    assert (await v1.refused("POST", f"/jobs/{job}/end", end))["limit"] == 72 * 1024


async def test_a_failure_is_not_lost_for_what_is_in_it(v1: V1) -> None:
    """NUL, lone surrogates, bytes that are no UTF-8, and numbers that JSON has not are mended."""
    text = b'"\\ud800 \\u0000 \xff ok"'
    head = b'{"operation": "x", "title": ' + text + b', "end": {"outcome": "failed", "result": '
    body = head + b'[NaN, Infinity, 1e999], "error": {"message": ' + text + b"}}}"
    answer = await v1.call("POST", "/jobs", data=body, headers=JSON)
    assert answer.status == 201, answer.body
    job = answer.json["job"]
    assert job["title"] == job["error"]["message"] == "� � � ok"
    for bad in (b"{", b"[]", b'{"operation": "x"} x', b"[" * 20_000, b"9" * 5000):
        assert (
            problem_of(await v1.call("POST", "/jobs", data=bad, headers=JSON))["type"]
            == "bad-request"
        )
    job = (await v1.post("/jobs", HERE)).json["job"]["uuid"]
    deep = b"[" * 500 + b"]" * 500
    batch = b'{"reports": [{"job": "%s", "progress": {"done": NaN, "total": %d}}, {"x": %s}]}'
    batch %= (job.encode(), 2**70, deep)
    answer = await v1.call("POST", "/reports", data=batch, headers=JSON)
    assert [each.get("status", 200) for each in answer.json["results"]] == [200, 400]
    end = b'{"outcome": "failed", "result": [NaN, %d, %s]}' % (2**70, deep)
    answer = await v1.call("POST", f"/jobs/{job}/end", data=end, headers=JSON)
    assert answer.status == 200, answer.body
    plain = await v1.call("POST", "/jobs", data=b"{}", headers={"Content-Type": "text/plain"})
    assert problem_of(plain)["type"] == "unsupported-media-type"


async def test_nothing_is_refused_for_a_clock_that_is_wrong(v1: V1) -> None:
    """What lies beyond all bounds is brought inside them, and shown as any other time."""
    first, last = "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"
    for said in (
        {"started_at": first},
        {"started_at": last},
        {"started_at": first, "sent_at": last},
        {"observed_at": last, "sent_at": first},
    ):
        assert (await v1.post("/jobs", {**HERE, **said})).status == 201, said
    for retry in ({"retry_at": first}, {"retry_at": last}, {"retry_at": last, "sent_at": first}):
        job = (await v1.post("/jobs", HERE)).json["job"]["uuid"]
        said = {"observed_at": first, "sent_at": last, "progress": {"done": 1}}
        said["waiting"] = {"for": "approval", "until": last}
        assert (await v1.post(f"/jobs/{job}/reports", said)).status == 200
        failed = {"outcome": "failed", "final": False, "observed_at": first, "sent_at": last}
        answer = await v1.post(f"/jobs/{job}/end", {**failed, **retry})
        assert (answer.status, answer.json["job"]["state"]) == (200, "queued")
        assert answer.json["job"]["retry_at"] < "2100"
