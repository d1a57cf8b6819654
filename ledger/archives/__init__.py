"""The files that compaction moves events to: `<name>.jsonl.zst`, written once and never changed.

    frame frame ... frame | skippable frame: streams, trees, contents, footer

- Each *frame* is a zstd frame of its own with JSON lines, one for each event, in the order of
  positions. `zstd -dc FILE` prints all lines and nothing else: the rest is in a skippable frame.
- A line holds position, leaf index, stream, version, topic and the event: its exact stored bytes,
  as `event` where they are what JSON is written as, else (a damaged one is archived too) as
  `base64`. The leaf hash is not kept: it follows from these.
- The index says where each frame lies, what it spans and which digest it has; in which frames each
  stream is; and what trees of jobs were discarded, so that they are found without their events.
- The *footer* has a fixed size, so that the index is found from the end of the file.

Every byte is under a digest: of the frame or part of the index in the contents, of the contents in
the footer. So a file shows by itself that it is whole; that it is the one that was written, only
the digest that `ArchiveWritten` keeps can say.
"""

from ledger.archives.errors import ArchiveMissing, ArchiveNotWritten, BadArchive
from ledger.archives.reader import Archive
from ledger.archives.shelf import Shelf
from ledger.archives.trees import ArchivedJob, ArchivedTree
from ledger.archives.writer import Written, write_archive

__all__ = [
    "Archive",
    "ArchiveMissing",
    "ArchiveNotWritten",
    "ArchivedJob",
    "ArchivedTree",
    "BadArchive",
    "Shelf",
    "Written",
    "write_archive",
]
