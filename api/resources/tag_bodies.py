"""Tags, as clients send them and as they are shown."""

from typing import Annotated, get_args

from msgspec import Struct
from msgspec.structs import asdict

from api.http.fields import Reference, Text, Texts, Uri, Uuid, UuidList, about, make_partial
from api.resources.references import reference_to
from api.text.urls import API_ROOT
from ledger.domain.events.values import ResourceKind
from projections.views.read_models import TaggedView, TagView

_OWNER = {"type": "object"}
"""The type that `/schema/` gives here; the owner of anything else has another."""


class TagFields(Struct, kw_only=True):
    """The fields of a tag that clients send and are shown."""

    name: Annotated[Text, about("Name of the tag.", title="TagName", min_length=1)]
    meta: Annotated[Texts, about("Free texts by name.")] = {}


class NewTag(TagFields, kw_only=True):
    resources: Annotated[UuidList, about("Drives and servers to put it on.")] = ()


TagEdit = make_partial("TagEdit", NewTag)


class Tagged(Reference, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A drive or server that bears a tag."""

    owner: Annotated[Reference, about("Owner of the resource.", extra=_OWNER)]
    res_type: Annotated[
        ResourceKind, about("Kind of the resource.", choices=get_args(ResourceKind))
    ]


class Tag(TagFields, kw_only=True, forbid_unknown_fields=True):
    owner: Annotated[Reference, about("Owner of the tag.", extra=_OWNER)]
    resource_uri: Uri
    resources: Annotated[tuple[Tagged, ...], about("Drives and servers that bear the tag.")] = ()
    uuid: Annotated[Uuid, about("UUID")]


def represent_tag(tag: TagView) -> Tag:
    owner = reference_to("user", tag.owner)
    return Tag(
        name=tag.name,
        meta=tag.meta,
        owner=owner,
        resource_uri=f"{API_ROOT}/tags/{tag.uuid}/",
        resources=tuple(_tagged(resource, owner) for resource in tag.resources),
        uuid=tag.uuid,
    )


def _tagged(resource: TaggedView, owner: Reference) -> Tagged:
    reference = reference_to(resource.kind, resource.uuid)
    return Tagged(**asdict(reference), owner=owner, res_type=resource.kind)
