"""The texts of a request: what events have of its words, and the words that lie beside them."""

import secrets

from ledger.domain.events.producers import Text
from ledger.domain.producers.texts import SALT_BYTES, Words, storable, text_of


class Wording:
    """Makes the texts of one command, and collects their words for it.

        wording = Wording()
        registered = JobRegistered(..., title=wording.text(body.title, TITLE_MOST))
        RegisterJob(..., registered, words=wording.words)

    `left` bytes of all words together are kept, if that is given.
    """

    def __init__(self, left: int | None = None) -> None:
        self._left = left
        self._words: list[Words] = []

    def text(self, words: str | None, most: int) -> Text | None:
        """Return the text of these words, cut to at most so many bytes; None if there are none."""
        if self._left is not None:
            most = min(most, self._left)
        said = storable(words or "", most)
        if not said:
            return None
        text, kept = text_of(said, secrets.token_bytes(SALT_BYTES))
        self._words.append(kept)
        if self._left is not None:
            self._left -= text.length
        return text

    @property
    def words(self) -> tuple[Words, ...]:
        """The words of all texts so far, for the command."""
        return tuple(self._words)
