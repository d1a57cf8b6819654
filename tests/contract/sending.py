"""In a process of its own: `ADDRESS SEED TOTAL`; sends generated requests, prints the findings.

A process of its own, because whatever other tests have left behind may run at any moment: garbage
that is collected while Hypothesis parses a source, and formats a traceback as it goes, makes the
parser of Python 3.11.7 fail (CPython's issue 106905), and Hypothesis calls such a case flaky.
"""

import random
import sys

import msgspec
import requests

from tests.acceptance.client import Api
from tests.acceptance.running import EMAIL, PASSWORD
from tests.contract.findings import Findings
from tests.contract.generating import generated, judge, operations
from tests.contract.stock import NEEDING, Stock
from tests.support.wait import PATIENCE_S

TURN = 2
"""Requests of one operation and of one kind, before it is the next one's turn."""


def run(api: Api, seed: int, total: int) -> Findings:
    """One operation after the other, well-formed requests and ill-formed ones, again and again.

    What is generated depends on the seed alone; what it is aimed at, also on what there is.
    """
    drawn, aimed = (
        random.Random(f"{what} {seed}")  # noqa: S311 - to run it again
        for what in ("drawn", "aimed")
    )
    stock = Stock(api, aimed)
    findings = Findings()
    with requests.Session() as session:
        session.trust_env = False
        session.auth = (EMAIL, PASSWORD)

        changed = True
        while findings.total < total:
            for operation in operations():
                if changed or operation.label in NEEDING:
                    stock.refill()
                changed = operation.method != "get"
                for case in generated(operation, drawn.getrandbits(32), TURN):
                    stock.aim(case)
                    response = case.call(api.address, session, timeout=PATIENCE_S)
                    judge(findings, case, response)
    return findings


def main(address: str, seed: str, total: str) -> None:
    with Api(address, EMAIL, PASSWORD) as api:
        findings = run(api, int(seed), int(total))
    sys.stdout.buffer.write(msgspec.msgpack.encode(findings))


if __name__ == "__main__":
    main(*sys.argv[1:])
