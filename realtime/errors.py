"""Every error that Lipstream raises on purpose.

::

        LipstreamError            code, HTTP status, message for the user
        ├── BadRequestError       400  the request cannot be read
        ├── UnauthorizedError     401  the token is missing or invalid
        ├── ForbiddenError        403  a host or origin that is not allowed, or a token for another resource
        ├── NotFoundError         404  no such session or avatar
        ├── ConflictError         409  the resource is in another state
        ├── PreconditionFailedError    412  the request names another state of the resource
        ├── PreconditionRequiredError  428  the request names no state of the resource
        ├── TooLargeError         413  over a size limit
        ├── UnsupportedTypeError  415  a body of another type
        ├── OfferError            422  an offer that cannot be answered
        ├── RateLimitError        429  too many requests; carries Retry-After
        ├── UnavailableError      503  the server cannot do this now; carries a reason and Retry-After
        ├── StorageFullError      507  the disk is full
        ├── WeightsError          500  an invalid weights file
        ├── AvatarError           500  an avatar that cannot be prepared or read
        └── SettingsError         500  an invalid option

    ``realtime.api.error_responses`` answers with the status; code outside ``realtime.api`` never speaks HTTP.
"""

import errno
from collections.abc import Mapping
from typing import ClassVar, Literal, TypeVar

UnreadyReason = Literal["warming", "full", "draining", "renderer"]
"""Why no session can be taken now."""
UnavailableReason = (
    UnreadyReason | Literal["relay", "ports", "disk", "synthesizer", "invitation_in_use", "busy", "moving"]
)

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


_LONGEST_MESSAGE = 2000


def shown(text: str, most: int) -> str:
    """Return text of a stranger's file as terminals and logs may show it: one line of printable characters, cut off."""
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in cut)


class LipstreamError(Exception):
    """An expected failure with a message for the user."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class BadRequestError(LipstreamError):
    """The request cannot be read."""

    code = "bad_request"
    status = 400


class UnauthorizedError(LipstreamError):
    """The token is missing or invalid."""

    code = "unauthorized"
    status = 401


class ForbiddenError(LipstreamError):
    """The host or origin of the request is not allowed, or its token is for another resource."""

    code = "forbidden"
    status = 403


class NotFoundError(LipstreamError):
    """The resource does not exist."""

    code = "not_found"
    status = 404


class ConflictError(LipstreamError):
    """The resource is in a state that does not allow the request."""

    code = "conflict"
    status = 409


class PreconditionFailedError(LipstreamError):
    """The request names another state of the resource than the current one."""

    code = "precondition_failed"
    status = 412


class PreconditionRequiredError(LipstreamError):
    """The request does not name the state of the resource that it is meant for."""

    code = "precondition_required"
    status = 428


class TooLargeError(LipstreamError):
    """The body exceeds its size limit."""

    code = "too_large"
    status = 413


class UnsupportedTypeError(LipstreamError):
    """The body has a type that is not accepted."""

    code = "unsupported_type"
    status = 415


class OfferError(LipstreamError):
    """A WebRTC offer that cannot be answered."""

    code = "bad_offer"
    status = 422


class RateLimitError(LipstreamError):
    """The caller sends too many requests.

    Attributes:
        retry_after_s: Until the next request may pass, s.
        at_once: Whether the answer ends the connection, since it was not delayed; default false.
    """

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.at_once = False


class UnavailableError(LipstreamError):
    """The server cannot do this now.

    Attributes:
        reason: ``warming``, ``full``, ``draining`` or ``renderer`` for the server; ``relay``, ``ports``,
            ``synthesizer``, ``disk``, ``invitation_in_use`` (the join token has as many sessions as it may), ``busy``
            (too much waits to be decoded) or ``moving`` (the session's worker is lost, and its owner has not begun it
            again yet) for one request.
        retry_after_s: After which a retry makes sense, s; default 5.
    """

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, reason: UnavailableReason, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class StorageFullError(LipstreamError):
    """The disk has no room for a file."""

    code = "storage_full"
    status = 507


class _FileError(LipstreamError):
    """A file that does not fit. The message may quote it, so it is made one line."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(message, _LONGEST_MESSAGE))


class WeightsError(_FileError):
    """A weights file that is missing, damaged or for another network."""

    code = "bad_weights"


class AvatarError(_FileError):
    """An avatar that cannot be prepared or read."""

    code = "bad_avatar"


class SettingsError(LipstreamError):
    """An invalid option."""

    code = "bad_settings"


def is_no_room(error: BaseException) -> bool:
    """Return whether an error of the system or of FFmpeg reports a full disk or an exceeded quota."""
    return getattr(error, "errno", None) in _NO_ROOM


_Thing = TypeVar("_Thing")


def found(among: Mapping[str, _Thing], name: str, kind: str) -> _Thing:
    """Return the value for a name.

    Raises:
        NotFoundError: If the name is unknown; the message contains ``kind``.
    """
    try:
        return among[name]
    except KeyError:
        raise NotFoundError(f"there is no such {kind}") from None
