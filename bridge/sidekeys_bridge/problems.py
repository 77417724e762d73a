"""What is wrong now, by what it is about; said once when it comes, and once when it goes."""

from __future__ import annotations

from collections.abc import Iterator


class Problems:
    """Lines for the user, one a subject."""

    def __init__(self) -> None:
        self._now: dict[str, str] = {}
        self._changed: dict[str, str | None] = {}

    def tell(self, about: str, message: str | None) -> None:
        """What is wrong with something; None: it is well."""
        if self._now.get(about) == message:
            return
        if message is None:
            del self._now[about]
        else:
            self._now[about] = message
        self._changed[about] = message

    def changes(self) -> Iterator[tuple[str, str | None]]:
        """What came and what went since the last call."""
        changed, self._changed = self._changed, {}
        yield from changed.items()

    def __iter__(self) -> Iterator[str]:
        return iter(self._now.values())
