"""What was found out about one subject."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, MISSING = "ok", "warning", "missing"
"""All is well; something does less than it could; Sidekeys cannot do without this."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination.

    Attributes:
        subject: what was looked at.
        level: `OK`, `WARNING` or `MISSING`.
        words: what was found.
        mend: the one line that mends it: a command, or where to click; None if all is well.
    """

    subject: str
    level: str
    words: str
    mend: str | None = None

    def __post_init__(self) -> None:
        if (self.mend is None) != (self.level == OK):
            raise ValueError(f"{self.subject}: what is not well must say how to mend it")
        if "\n" in f"{self.words}{self.mend}":
            raise ValueError(f"{self.subject}: more than one line")


def well(subject: str, words: str) -> Finding:
    """All is well."""
    return Finding(subject, OK, words)


def warning(subject: str, words: str, mend: str) -> Finding:
    """It works, but for this."""
    return Finding(subject, WARNING, words, mend)


def missing(subject: str, words: str, mend: str) -> Finding:
    """Sidekeys cannot do without this."""
    return Finding(subject, MISSING, words, mend)
