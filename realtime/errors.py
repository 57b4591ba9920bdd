"""Every error that Lipstream raises on purpose.

::

    LipstreamError            code, HTTP status, message for the person
    ├── BadRequestError       400  the request cannot be read
    ├── UnauthorizedError     401  no token, or none that is good here
    ├── ForbiddenError        403  a foreign host or origin, or a token for something else
    ├── NotFoundError         404  no such session or avatar
    ├── ConflictError         409  the thing is in another state
    ├── PreconditionFailedError    412  meant for another state of the thing
    ├── PreconditionRequiredError  428  does not say for which state
    ├── TooLargeError         413  over a size limit
    ├── UnsupportedTypeError  415  a body of another kind
    ├── OfferError            422  an offer that cannot be answered
    ├── RateLimitError        429  asked too often; carries Retry-After
    ├── UnavailableError      503  full, warming, draining, or no renderer; carries Retry-After
    ├── StorageFullError      507  no room left on the disk
    ├── WeightsError          500  a weights file that does not fit
    ├── AvatarError           500  an avatar that cannot be prepared or read
    └── SettingsError         500  an option that makes no sense

The status is what ``realtime.api.app`` answers with; the library itself never speaks HTTP.
"""

import errno
from collections.abc import Mapping
from typing import ClassVar, Literal, TypeVar

UnreadyReason = Literal["warming", "full", "draining", "renderer"]
"""Why no session can be taken now."""
UnavailableReason = UnreadyReason | Literal["relay", "ports", "disk", "synthesizer"]

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class LipstreamError(Exception):
    """An expected failure whose message is meant for a person."""

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
    """The caller shows no token, or none that is good here."""

    code = "unauthorized"
    status = 401


class ForbiddenError(LipstreamError):
    """The request comes from a host or origin that is not allowed, or with a token for something else."""

    code = "forbidden"
    status = 403


class NotFoundError(LipstreamError):
    """There is no such thing."""

    code = "not_found"
    status = 404


class ConflictError(LipstreamError):
    """The thing is in a state that does not allow this."""

    code = "conflict"
    status = 409


class PreconditionFailedError(LipstreamError):
    """The request is meant for another state of the thing."""

    code = "precondition_failed"
    status = 412


class PreconditionRequiredError(LipstreamError):
    """The request does not say for which state of the thing it is meant."""

    code = "precondition_required"
    status = 428


class TooLargeError(LipstreamError):
    """The body is over its limit."""

    code = "too_large"
    status = 413


class UnsupportedTypeError(LipstreamError):
    """The body is of a type that is not taken here."""

    code = "unsupported_type"
    status = 415


class OfferError(LipstreamError):
    """A WebRTC offer that cannot be answered."""

    code = "bad_offer"
    status = 422


class RateLimitError(LipstreamError):
    """The caller asks too often.

    Attributes:
        retry_after_s: Seconds after which the next request may pass.
    """

    code = "rate_limited"
    status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UnavailableError(LipstreamError):
    """The server cannot take this now.

    Attributes:
        reason: Why: of the whole server, one of ``UnreadyReason``; of this one request, one of the others.
        retry_after_s: Seconds after which a retry makes sense.
    """

    code = "unavailable"
    status = 503

    def __init__(self, message: str, *, reason: UnavailableReason, retry_after_s: int = 5) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class StorageFullError(LipstreamError):
    """The disk has no room left for what was to be kept."""

    code = "storage_full"
    status = 507


class WeightsError(LipstreamError):
    """A weights file that is missing, damaged or of another network."""

    code = "bad_weights"


class AvatarError(LipstreamError):
    """An avatar that cannot be prepared or read."""

    code = "bad_avatar"


class SettingsError(LipstreamError):
    """An option that makes no sense."""

    code = "bad_settings"


def is_no_room(error: BaseException) -> bool:
    """Tell whether an error, of the system or of FFmpeg, says that the disk is full or its quota used up."""
    return getattr(error, "errno", None) in _NO_ROOM


_Thing = TypeVar("_Thing")


def found(among: Mapping[str, _Thing], name: str, kind: str) -> _Thing:
    """Return what has a name among others.

    Raises:
        NotFoundError: If nothing has; its message names the kind.
    """
    try:
        return among[name]
    except KeyError:
        raise NotFoundError(f"there is no such {kind}") from None
