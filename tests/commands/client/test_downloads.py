"""Downloads over cut connections and lying proxies: the image, or an error, and never a mixture."""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import msgspec
import pytest

from api.client import downloads, patience
from api.client.downloads import download
from api.client.errors import (
    ClientError,
    DownloadDiffers,
    ForeignPart,
    ImageChanged,
    Mismatch,
    PartInUse,
    Refused,
    Unreachable,
    WrongAnswer,
)
from api.client.http import TRANSFER
from api.client.partial_file import part_of, partial_file
from api.client.sessions import SessionClient, timeout_of
from tests.api.calling import ALICE, Api, authorization
from tests.api.conftest import api, begun, limits, service, store
from tests.support.lying_proxy import Forwarded, Lie, LyingProxy, address_of, honest, lying_proxy

__all__ = ["api", "begun", "limits", "service", "store"]

KIB = 1024
SIZE = 256 * KIB
CUT = 100 * KIB
"""Where downloads are cut that are resumed."""


@dataclass
class Downloading:
    """A drive, a file to download it to, and the proxy between."""

    api: Api
    proxy: LyingProxy
    client: SessionClient
    file: Path
    drive: str
    content: bytes

    @property
    def part(self) -> Path:
        return part_of(self.file)

    @property
    def note(self) -> Path:
        return self.file.with_name("x.img.part.json")

    @property
    def image(self) -> Path:
        return self.api.service.pools["main"].image(self.drive)

    @property
    def ranges(self) -> list[str | None]:
        """The ranges that were asked for."""
        return [headers.get("Range") for method, headers in self.proxy.concerned if method == "GET"]

    async def run(self) -> None:
        await download(self.client, self.drive, self.file, lambda _done, _total: None)

    async def change(self) -> None:
        """The image becomes another one of the same size, a second later than the last."""
        later = self.image.stat().st_mtime_ns + 10**9
        self.content = os.urandom(SIZE)
        self.image.write_bytes(self.content)
        os.utime(self.image, ns=(later, later))

    async def fail(self, kind: type[ClientError], saying: str | None = None) -> None:
        with pytest.raises(kind, match=saying):
            await self.run()
        assert not self.file.exists()

    async def cut(self, at: int = CUT) -> None:
        """Begin a download that is cut at this byte."""
        cuts = iter([at])
        self.proxy.lie = lambda answer: answer._replace(cut_at=next(cuts, 0))
        await self.fail(Unreachable)
        self.proxy.lie = honest
        assert self.part.read_bytes() == self.content[:at]
        self.proxy.concerned.clear()

    def check(self) -> None:
        """The file is the image, and nothing is left beside it."""
        assert self.file.read_bytes() == self.content
        assert not self.part.exists()
        assert not self.note.exists()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses, few tries, and small blocks."""
    monkeypatch.setattr(patience, "PAUSE_S", 0)
    monkeypatch.setattr(patience, "TRIES", 3)
    monkeypatch.setattr(downloads, "BLOCK_BYTES", 16 * KIB)


async def uploaded(api: Api, content: bytes) -> str:
    answer = await api.call("POST", "/drives/upload/", data=content)
    assert answer.status == 200, answer.body
    return answer.body.decode()


@asynccontextmanager
async def connected_to(proxy: LyingProxy) -> AsyncIterator[SessionClient]:
    headers = {"Authorization": authorization(ALICE), "Accept": "application/json"}
    async with aiohttp.ClientSession(headers=headers, timeout=timeout_of(TRANSFER)) as session:
        yield SessionClient(proxy.url, session)


@pytest.fixture
async def downloading(api: Api, tmp_path: Path) -> AsyncIterator[Downloading]:
    content = os.urandom(SIZE)
    drive = await uploaded(api, content)
    (tmp_path / "home").mkdir()
    async with (
        lying_proxy(
            address_of(api.client.server), lambda request: request.path.endswith("/download/")
        ) as proxy,
        connected_to(proxy) as client,
    ):
        yield Downloading(api, proxy, client, tmp_path / "home" / "x.img", drive, content)


async def test_a_download_is_resumed(downloading: Downloading) -> None:
    """The rest is asked for, of just the version that the part is of."""
    await downloading.cut()
    note = msgspec.json.decode(downloading.note.read_bytes())
    assert (note["drive"], note["size"]) == (downloading.drive, SIZE)
    assert note["ledger"].startswith("job-ledger/")
    await downloading.run()
    (headers,) = (each for method, each in downloading.proxy.concerned if method == "GET")
    assert (headers["Range"], headers["If-Range"]) == (f"bytes={CUT}-", note["etag"])
    downloading.check()


async def test_a_lost_connection_is_resumed_in_one_run(downloading: Downloading) -> None:
    """As often as it brings anything; what came is not asked for again."""
    downloading.proxy.lie = lambda answer: answer._replace(cut_at=CUT // 4)
    await downloading.run()
    assert len(downloading.ranges) > patience.TRIES
    assert downloading.ranges[1] == f"bytes={CUT // 4}-"
    downloading.check()


def page_of_proxy(status: int) -> Lie:
    """What a proxy answers with while the service behind it starts again."""
    page = b"<html>nginx</html>"
    return lambda answer: answer._replace(status=status).with_body(page).with_headers(ETag=None)


def in_turn(lies: list[Lie]) -> Lie:
    def lie(answer: Forwarded) -> Forwarded:
        return lies.pop(0)(answer)

    return lie


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 520])
async def test_a_service_that_is_away_for_a_moment_is_waited_for(
    downloading: Downloading, status: int
) -> None:
    """At the first GET, after a cut and before the end; what came is not asked for again."""
    away = page_of_proxy(status)
    told = [away, lambda answer: answer._replace(cut_at=CUT), away, honest]
    looks = [honest, away, honest]
    downloading.proxy.lie, downloading.proxy.lie_to_head = in_turn(told), in_turn(looks)
    await downloading.run()
    assert downloading.ranges == [None, None, f"bytes={CUT}-", f"bytes={CUT}-"]
    assert (told, looks) == ([], [])
    downloading.check()


@pytest.mark.parametrize("status", [403, 404, 410, 501, 507])
async def test_a_refusal_that_lasts_ends_it(downloading: Downloading, status: int) -> None:
    """Nobody waits for what a moment does not change; the part stays."""
    told: list[Lie] = [lambda answer: answer._replace(cut_at=CUT), page_of_proxy(status)]
    downloading.proxy.lie = in_turn(told)
    await downloading.fail(Refused)
    assert downloading.part.read_bytes() == downloading.content[:CUT]
    assert downloading.ranges == [None, f"bytes={CUT}-"]


async def test_a_service_that_stays_away_is_told(downloading: Downloading) -> None:
    """After some tries in vain, in its own words."""
    downloading.proxy.lie = page_of_proxy(503)
    await downloading.fail(Refused, "status 503")
    assert len(downloading.ranges) == patience.TRIES


async def test_a_part_of_another_drive_is_refused(downloading: Downloading) -> None:
    """In words, and it stays as it is."""
    await downloading.cut()
    first, downloading.drive = downloading.drive, await uploaded(downloading.api, bytes(SIZE))
    await downloading.fail(ForeignPart, f"it is of drive {first}")
    assert downloading.ranges == []
    assert downloading.part.read_bytes() == downloading.content[:CUT]


async def test_a_part_of_another_ledger_is_refused(downloading: Downloading) -> None:
    """A restored ledger has the same drives, but perhaps not the same images."""
    await downloading.cut()
    note = msgspec.json.decode(downloading.note.read_bytes())
    downloading.note.write_bytes(msgspec.json.encode({**note, "ledger": "job-ledger/another"}))
    await downloading.fail(ForeignPart)


@pytest.mark.parametrize("note", [None, b"", b"{}", b'{"ledger": 5}', b"\xff"])
async def test_a_part_of_nobody_knows_what_is_refused(
    downloading: Downloading, note: bytes | None
) -> None:
    """Without its note a part may be of anything, or of a download by an earlier version."""
    await downloading.cut()
    downloading.note.unlink()
    if note is not None:
        downloading.note.write_bytes(note)
    await downloading.fail(ForeignPart, "is missing")
    assert downloading.part.read_bytes() == downloading.content[:CUT]


async def test_an_image_that_changed_between_is_downloaded_anew(downloading: Downloading) -> None:
    """Nothing of the earlier version stays."""
    await downloading.cut()
    await downloading.change()
    await downloading.run()
    assert downloading.ranges == [None]
    downloading.check()


async def test_an_image_that_changes_before_it_is_resumed(downloading: Downloading) -> None:
    """The service answers with the whole, and that begins anew."""
    await downloading.cut()

    async def change_before_the_next() -> None:
        downloading.proxy.before = downloading.change

    downloading.proxy.before = change_before_the_next
    await downloading.run()
    assert downloading.ranges == [f"bytes={CUT}-"]
    downloading.check()


async def test_an_image_that_changes_meanwhile_is_an_error(downloading: Downloading) -> None:
    """What came may be of both versions."""

    def change_after(answer: Forwarded) -> Forwarded:
        downloading.proxy.before = downloading.change
        return answer

    downloading.proxy.lie = change_after
    await downloading.fail(ImageChanged, "changed while it was downloaded")
    assert downloading.part.stat().st_size == SIZE
    downloading.proxy.lie = honest
    await downloading.run()
    downloading.check()


async def test_a_part_that_is_whole_is_not_downloaded_again(downloading: Downloading) -> None:
    """If only the last answer was lost, that is asked for again."""

    def refuse_in_the_end(answer: Forwarded) -> Forwarded:
        return answer._replace(status=500) if downloading.part.exists() else answer

    downloading.proxy.lie_to_head = refuse_in_the_end
    await downloading.fail(Refused)
    assert downloading.part.stat().st_size == SIZE
    downloading.proxy.lie_to_head = honest
    downloading.proxy.concerned.clear()
    await downloading.run()
    assert downloading.ranges == []
    downloading.check()


async def test_two_downloads_do_not_write_one_part(downloading: Downloading) -> None:
    """The second is refused while the first runs."""
    with partial_file(downloading.file):
        await downloading.fail(PartInUse)
    await downloading.run()
    downloading.check()


async def test_what_is_too_long_was_not_downloaded(downloading: Downloading) -> None:
    """Somebody else wrote to the part."""
    await downloading.cut()
    with downloading.part.open("ab") as part:
        part.write(bytes(SIZE))
    await downloading.run()
    downloading.check()


async def test_a_damaged_part_is_an_error(downloading: Downloading) -> None:
    """The digest of the whole shows what neither sizes nor tags can."""
    await downloading.cut()
    with downloading.part.open("r+b") as part:
        part.write(b"rotten")
    await downloading.fail(DownloadDiffers, "another SHA-256")
    await downloading.fail(DownloadDiffers)
    downloading.part.unlink()
    await downloading.run()
    downloading.check()


async def test_a_digest_that_takes_long_is_waited_for(
    downloading: Downloading, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service says that it is being made; it is not asked again without a pause."""
    await downloading.cut()
    pause_s, sleep, pauses = 0.001, asyncio.sleep, list[float]()

    async def noting(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds)

    monkeypatch.setattr(asyncio, "sleep", noting)
    monkeypatch.setattr(downloads, "DIGEST_PAUSE_S", pause_s)
    with downloading.part.open("r+b") as part:
        part.write(b"rotten")
    told = [honest, still_making, still_making]

    def tell(answer: Forwarded) -> Forwarded:
        lie = told.pop(0) if told else honest
        return lie(answer)

    downloading.proxy.lie_to_head = tell
    await downloading.fail(DownloadDiffers)
    assert not told
    assert pauses.count(pause_s) == 2


def still_making(answer: Forwarded) -> Forwarded:
    return answer.with_headers(Repr_Digest=None, Retry_After="1")


# What a proxy may make of an answer


def shifted(answer: Forwarded) -> Forwarded:
    return answer.with_headers(Content_Range=f"bytes {CUT - 1}-{SIZE - 2}/{SIZE}")


def of_a_shorter_image(answer: Forwarded) -> Forwarded:
    return answer.with_headers(Content_Range=f"bytes {CUT}-{SIZE - 2}/{SIZE - 1}").with_body(
        answer.body[:-1]
    )


def shorter_than_it_says(answer: Forwarded) -> Forwarded:
    return answer.with_body(answer.body[:-5])


def without_range(answer: Forwarded) -> Forwarded:
    return answer.with_headers(Content_Range=None)


def without_tag(answer: Forwarded) -> Forwarded:
    return answer.with_headers(ETag=None)


def weakly_tagged(answer: Forwarded) -> Forwarded:
    return answer.with_headers(ETag=f"W/{answer.headers['ETag']}")


def otherwise_tagged(answer: Forwarded) -> Forwarded:
    return answer.with_headers(ETag='"another"')


def without_digest(answer: Forwarded) -> Forwarded:
    return answer.with_headers(Repr_Digest=None)


def compressed(answer: Forwarded) -> Forwarded:
    return answer.with_headers(Content_Encoding="gzip")


def called_whole(answer: Forwarded) -> Forwarded:
    return answer._replace(status=200).with_headers(Content_Range=None)


def longer(answer: Forwarded) -> Forwarded:
    return answer._replace(body=answer.body + b"more", length=None)


def without_length(answer: Forwarded) -> Forwarded:
    return answer._replace(length=None)


def short_without_length(answer: Forwarded) -> Forwarded:
    return answer._replace(body=answer.body[:-5], length=None)


def called_whole_without_length(answer: Forwarded) -> Forwarded:
    return without_length(called_whole(answer))


def other_bytes(answer: Forwarded) -> Forwarded:
    return answer._replace(body=bytes(len(answer.body)))


def redirected(answer: Forwarded) -> Forwarded:
    return answer._replace(status=204).with_body(b"")


@pytest.mark.parametrize(
    "lie",
    [
        shifted,
        of_a_shorter_image,
        shorter_than_it_says,
        without_range,
        without_tag,
        weakly_tagged,
        otherwise_tagged,
        compressed,
        called_whole,
        longer,
        redirected,
    ],
)
async def test_a_wrong_rest_is_an_error(downloading: Downloading, lie: Lie) -> None:
    """Nothing of it is kept: what came before can still be continued."""
    await downloading.cut()
    downloading.proxy.lie = lie
    await downloading.fail(WrongAnswer)
    assert downloading.part.read_bytes() == downloading.content[:CUT]
    downloading.proxy.lie = honest
    await downloading.run()
    downloading.check()


async def test_an_end_too_early_is_not_continued(downloading: Downloading) -> None:
    """An answer that claims to be complete and is not may hold any bytes."""
    await downloading.cut()
    downloading.proxy.lie = short_without_length
    await downloading.fail(Unreachable, "ended early")
    assert downloading.part.read_bytes() == downloading.content[:CUT]


async def test_a_rest_that_is_called_the_whole_is_dropped(downloading: Downloading) -> None:
    """Its bytes would be taken for the first ones; the whole is asked for instead."""
    await downloading.cut()
    downloading.proxy.lie = called_whole_without_length
    await downloading.run()
    assert downloading.ranges == [f"bytes={CUT}-", None]
    downloading.check()


@pytest.mark.parametrize("lie", [shorter_than_it_says, compressed, longer, redirected])
async def test_a_wrong_whole_is_an_error(downloading: Downloading, lie: Lie) -> None:
    """Also where nothing is continued, and nothing is left of it."""
    downloading.proxy.lie = lie
    await downloading.fail(WrongAnswer)
    assert not downloading.part.exists()


async def test_a_part_that_was_not_asked_for_is_an_error(downloading: Downloading) -> None:
    """A 206 answers no request without a range."""
    downloading.proxy.lie = lambda answer: answer._replace(status=206)
    await downloading.fail(WrongAnswer, "status 206")


async def test_other_bytes_are_an_error(downloading: Downloading) -> None:
    """A cache may have the head of one image with the bytes of another."""
    downloading.proxy.lie = other_bytes
    await downloading.fail(DownloadDiffers)


@pytest.mark.parametrize("lie", [without_tag, weakly_tagged, without_length, without_digest])
async def test_a_plain_answer_is_enough_for_the_whole(downloading: Downloading, lie: Lie) -> None:
    """What cannot be resumed can still be downloaded."""
    downloading.proxy.lie = downloading.proxy.lie_to_head = lie
    await downloading.run()
    downloading.check()


async def test_an_image_that_is_not_as_long_as_the_drive_is_an_error(
    downloading: Downloading,
) -> None:
    """Somebody on the way cuts it, or it is just being resized."""
    downloading.proxy.lie_to_head = lambda answer: answer._replace(length=SIZE - 1)
    await downloading.fail(WrongAnswer, f"{SIZE - 1} bytes, the drive {SIZE}")
    assert downloading.ranges == []


async def test_without_a_tag_nothing_is_resumed(downloading: Downloading) -> None:
    """The part cannot be told from one of an earlier image."""
    downloading.proxy.lie = lambda answer: without_tag(answer)._replace(cut_at=CUT)
    await downloading.fail(Unreachable)
    assert downloading.ranges == [None] * (1 + patience.TRIES)
    downloading.proxy.lie = honest
    downloading.proxy.concerned.clear()
    await downloading.run()
    assert downloading.ranges == [None]
    downloading.check()


async def test_without_a_tag_a_whole_part_is_not_believed(downloading: Downloading) -> None:
    """It may be of an earlier image."""

    def refuse_in_the_end(answer: Forwarded) -> Forwarded:
        return without_tag(answer._replace(status=500) if downloading.part.exists() else answer)

    downloading.proxy.lie, downloading.proxy.lie_to_head = without_tag, refuse_in_the_end
    await downloading.fail(Refused)
    downloading.proxy.lie_to_head = without_tag
    await downloading.change()
    await downloading.run()
    downloading.check()


LIES: list[Callable[[random.Random], Lie]] = [
    *(
        (lambda _, lie=lie: lie)
        for lie in (
            *(honest, shifted, of_a_shorter_image, shorter_than_it_says, without_range),
            *(without_tag, otherwise_tagged, compressed, called_whole, longer, without_length),
            *(short_without_length, called_whole_without_length, other_bytes, redirected),
        )
    ),
    *5 * [lambda drawn: lambda answer: answer._replace(cut_at=drawn.randrange(SIZE))],
]


LIES_TO_HEAD = [without_tag, otherwise_tagged, shorter_than_it_says]
"""The digest stays: without it no client can tell other bytes of the same length and tag."""


@pytest.mark.parametrize("count", [40, pytest.param(400, marks=pytest.mark.long)])
async def test_whatever_happens_a_download_is_the_image_or_an_error(
    downloading: Downloading, seed: int, count: int
) -> None:
    """Cuts, lies, changed images and damaged parts, drawn one after the other."""
    drawn = random.Random(seed)  # noqa: S311 - a test that can be repeated
    completed = 0
    for _ in range(count):
        if drawn.random() < 0.2:
            downloading.content = drawn.randbytes(SIZE)
            downloading.image.write_bytes(downloading.content)
        if drawn.random() < 0.1 and downloading.part.exists():
            os.truncate(downloading.part, drawn.randrange(SIZE))
        downloading.proxy.lie = drawn.choice(LIES)(drawn)
        downloading.proxy.lie_to_head = drawn.choice([*8 * [honest], *LIES_TO_HEAD])
        try:
            await downloading.run()
        except (Mismatch, Unreachable):
            assert not downloading.file.exists()
            if drawn.random() < 0.2:
                downloading.part.unlink(missing_ok=True)
            continue
        downloading.check()
        downloading.file.unlink()
        completed += 1
    assert completed


async def test_a_download_leaves_its_name_alone_until_it_is_whole(
    downloading: Downloading,
) -> None:
    """The note is synced before the first byte, and the part before it has the name."""
    synced: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink().name)
        fsync(fd)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", noted)
        await asyncio.wait_for(downloading.run(), None)
    assert synced == ["x.img.part", "x.img.part.json.new", "home", "x.img.part", "home"]
    downloading.check()
