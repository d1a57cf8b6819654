"""The read models as of one moment: every answer is a few indexed reads.

A snapshot reads the pointer to the live generation and the rows in one transaction, so a rebuild
that flips it meanwhile changes nothing for a reader.
"""

from projections.views.accounts import Accounts
from projections.views.drives import Drives
from projections.views.ips import Ips
from projections.views.keypairs import Keypairs
from projections.views.lists import Lists
from projections.views.producers.jobs import ProducedJobs
from projections.views.producers.pages import JobPages
from projections.views.producers.series import Series
from projections.views.resources import Resources
from projections.views.searches import Searches
from projections.views.servers import Servers
from projections.views.tags import Tags
from projections.views.walks import Walks


class Snapshot(
    Lists,
    Drives,
    Servers,
    Resources,
    Tags,
    Keypairs,
    Ips,
    Accounts,
    Series,
    Walks,
    Searches,
    JobPages,
    ProducedJobs,
):
    """The read models as of one moment."""
