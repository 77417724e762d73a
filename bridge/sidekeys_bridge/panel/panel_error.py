"""What a page is told when its wish cannot be done: a code, and words for the user."""

from __future__ import annotations

from types import MappingProxyType

STATUSES = MappingProxyType(
    {
        # Codes of the control protocol, which the bridge may answer with.
        "malformed": 400,
        "version": 400,
        "unauthorized": 401,
        "unknown": 404,
        "invalid": 400,
        "late": 504,
        "busy": 429,
        "too-large": 413,
        "not-ready": 503,
        "failed": 500,
        "cancelled": 503,
        # Our own.
        "none": 404,
        "forbidden": 403,
        "not-found": 404,
        "method": 405,
        "slow": 408,
        "conflict": 409,
        "not-sound": 415,
        "disk-full": 507,
    }
)
"""The HTTP status of each code."""


class PanelError(Exception):
    """A wish that is not done.

    Args:
        code: one of `STATUSES`.
        text: what is wrong, and what to do next.
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code if code in STATUSES else "failed"

    @property
    def status(self) -> int:
        """As HTTP has it."""
        return STATUSES[self.code]

    def content(self) -> dict[str, str]:
        """As JSON tells it."""
        return {"code": self.code, "message": str(self)}
