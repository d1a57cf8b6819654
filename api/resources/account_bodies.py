"""Logins and profiles, as clients send them and as they are shown."""

from typing import Annotated, get_args

from msgspec import Meta, Struct

from api.accounts.credentials import PASSWORD_LENGTH_MAX
from api.http.fields import NO_NUL, Representation, Text, Texts, Time, Uuid, about, make_partial
from ledger.domain.events import profiles

CloneNaming = Annotated[
    profiles.CloneNaming,
    Meta(title="CloneNaming", extra={"choices": get_args(profiles.CloneNaming)}),
]
Decimal = Annotated[
    str,
    Meta(title="Decimal", pattern=r"^[0-9]+(\.[0-9]+)?(E-?[0-9]+)?$", extra={"type": "decimal"}),
]
_NONE = "0E-16"
CURRENCY = "EUR"


class Login(Struct):
    username: Annotated[Text, about("The email.")]
    password: Annotated[str, Meta(max_length=PASSWORD_LENGTH_MAX, pattern=NO_NUL)]


class TokenLogin(Login):
    name: Annotated[Text, about("Tells the token from others.")] = ""


class LoggedIn(Representation, frozen=True):
    """The account of the login that a request carries."""

    uuid: Uuid


class NewToken(Representation, frozen=True):
    id: Annotated[str, about("The id for `job-ledger token remove`.")]
    name: str
    token: Annotated[str, Meta(pattern="^jl_")]
    uuid: Annotated[Uuid, about("The account's.")]


class PersonalFields(Struct, kw_only=True):
    """The personal data of an account."""

    address: Text = ""
    company: Text = ""
    country: Annotated[Text, about("Country, two letters.")] = ""
    first_name: Text = ""
    language: Text = ""
    last_name: Text = ""
    mailing_list: Annotated[bool, about("Whether to be on the mailing list.")] = False
    meta: Annotated[Texts, about("Free texts by name.")] = {}
    my_notes: Annotated[Text, about("Notes of one's own.")] = ""
    nickname: Text = ""
    phone: Annotated[Text, about("Telephone number.")] = ""
    postcode: Text = ""
    title: Text = ""
    town: Text = ""
    vat: Annotated[Text, about("VAT number.")] = ""


ProfileEdit = make_partial("ProfileEdit", PersonalFields, clone_naming=CloneNaming)


class Profile(PersonalFields, kw_only=True, forbid_unknown_fields=True):
    """A profile. Only fields of `ProfileEdit` can change: there is no billing and no reseller."""

    api_https_only: bool = False
    autotopup_amount: Decimal = _NONE
    autotopup_threshold: Decimal = _NONE
    bank_reference: str = ""
    clone_naming: Annotated[CloneNaming, about("What a clone is called that is given no name.")] = (
        "NONE"
    )
    currency: str = CURRENCY
    email: str
    has_autotopup: bool = False
    has_tx_autotopup: bool = False
    invoicing: bool = False
    key_auth: bool = False
    network_restrictions: str | None = None
    reseller: str = ""
    signup_time: Time
    state: str = "REGULAR"
    tax_name: str | None = None
    tax_rate: Decimal | None = None
    tx_autotopup_amount: Decimal = _NONE
    tx_autotopup_threshold: Decimal = _NONE
    uuid: Uuid
