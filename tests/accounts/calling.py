"""Calling a service whose accounts are real, by sessions too."""

from http.cookies import Morsel, SimpleCookie
from typing import Any, NamedTuple

from api.accounts.places import Client
from api.accounts.service import Account
from tests.api.calling import Answer, Api

PASSWORD = "correct horse"
HERE = Client("1.2.3.4")
LOGIN = "/accounts/action/?do=login"
LOGOUT = "/accounts/action/?do=logout"
ASYNCHRONOUS = "/accounts/action/?do=authenticate_asynchronous"


class Session(NamedTuple):
    """What a client keeps of a login."""

    id: str
    csrf: str

    def headers(self, **changed: str | None) -> dict[str, str]:
        """As the public client sends them; `changed` by name, None: not sent."""
        sent = {"sessionid": self.id, "csrftoken": self.csrf, "X-CSRFToken": self.csrf} | {
            name.replace("_", "-"): value for name, value in changed.items()
        }
        token = sent.pop("X-CSRFToken")
        cookie = "; ".join(f"{name}={value}" for name, value in sent.items() if value is not None)
        return {"Cookie": cookie} | ({} if token is None else {"X-CSRFToken": token})


async def call(api: Api, method: str, path: str, given: Any = None, **headers: str) -> Answer:
    return await api.call(method, path, json=given, headers=headers, by=None)


async def by_session(
    api: Api, method: str, path: str, session: Session, given: Any = None, **changed: str | None
) -> Answer:
    return await api.call(method, path, json=given, headers=session.headers(**changed), by=None)


def cookies(answer: Answer) -> dict[str, "Morsel[str]"]:
    found: SimpleCookie = SimpleCookie()
    for header in answer.headers.getall("Set-Cookie", []):
        found.load(header)
    return dict(found)


async def log_in(api: Api, email: str, **headers: str) -> Answer:
    return await call(api, "POST", LOGIN, {"username": email, "password": PASSWORD}, **headers)


async def session_of(api: Api, account: Account) -> Session:
    answer = await log_in(api, account.email)
    assert answer.status == 200, answer.body
    set_ = cookies(answer)
    return Session(set_["sessionid"].value, set_["csrftoken"].value)
