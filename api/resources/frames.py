"""The frames that subscribers get: which resource changed, and how it is now.

A frame is made once, as it goes over the wire, for all websockets of an account.
"""

from collections.abc import Callable
from datetime import datetime
from typing import assert_never

from api.http.responses import JsonObject, Shown, encode
from api.http.wire.websocket_frames import text_frame
from api.resources.drives.representation import represent_drive
from api.resources.jobs.representation import represent_job
from api.resources.keypairs.bodies import represent_keypair
from api.resources.profile import profile_json
from api.resources.servers.representation import represent_server
from api.resources.tag_bodies import represent_tag
from api.text.urls import API_ROOT
from projections.feed.feed import Render
from projections.feed.resource_kinds import View
from projections.views.read_models import (
    DriveView,
    JobTree,
    KeypairView,
    ProfileView,
    ServerView,
    TagView,
)


def frames(now: Callable[[], datetime]) -> Render:
    """Return the function that makes frames; `now` is the clock of what they estimate."""

    def render(resource_type: str, uuid: str, view: View | None) -> bytes:
        return text_frame(message(resource_type, uuid, view, now()))

    return render


def message(resource_type: str, uuid: str, view: View | None, now: datetime) -> bytes:
    """Return the JSON of a frame.

    Its `object` is what a GET of the resource answers; a resource that is gone has none.
    """
    shown: JsonObject = {"resource_type": resource_type, "resource_uri": _uri(resource_type, uuid)}
    if view is not None:
        shown["object"] = _shown(view, now)
    return encode(shown)


def _uri(resource_type: str, uuid: str) -> str:
    """Return the resource's URI; a profile's has no uuid, because an account has only one."""
    return f"{API_ROOT}/{resource_type}/" + ("" if resource_type == "profile" else f"{uuid}/")


def _shown(view: View, now: datetime) -> Shown:
    match view:
        case JobTree():
            return represent_job(view, now)
        case DriveView():
            return represent_drive(view)
        case ServerView():
            return represent_server(view)
        case TagView():
            return represent_tag(view)
        case KeypairView():
            return represent_keypair(view)
        case ProfileView():
            return profile_json(view)
        case _:
            assert_never(view)
