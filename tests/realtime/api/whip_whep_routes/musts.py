"""What RFC 9725 (WHIP) and draft-ietf-wish-whep-03 (WHEP) demand of a server, and which test is about which of it.

Every MUST and SHALL that is a server's, by where it stands: sections of RFC 9725, of the draft where it adds to them.
Those of the players and publishers are theirs. Left out as well: what follows a restart of ICE that was granted, since
none is here, and extensions of either protocol, since the server has none.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

MUSTS = {
    "4.1 get": "a GET is answered with 2xx and no content",
    "4.2 created": "an offer is answered with 201, an SDP answer by JSEP's rules and where the session is",
    "4.2 refused": "another type of body, or SDP that is none, is refused with 4xx",
    "4.2 direction": "the answer is recvonly (WHIP) or sendonly (WHEP), and so are the offers that are taken",
    "4.2 consent": "a client that consents no more, or ends DTLS, has ended its session",
    "4.2 revoked": "a session that the server ends is sent nothing more",
    "4.2 delete": "a DELETE of the session frees it",
    "4.2 options": "OPTIONS are answered, for other sites' pages too",
    "4.3.1 fragment": "a PATCH with another type of body, or with what is no fragment, is refused with 4xx",
    "4.3.1 one of two": "what is not supported, trickle ICE or restarts, is refused with 422",
    "4.3.1 tag": "the answer names the ICE session by a strong tag",
    "4.3.1 tag ignored": "the tag is ignored where no ICE session is meant, as in DELETE",
    "4.3.1 conditions": "a PATCH without a tag gets 428, with another one 412",
    "4.3.2 gathered": "the answer carries all of the server's candidates",
    "4.3.2 taken": "candidates are taken with 204, no content and no tag",
    "4.3.2 skipped": "a candidate that cannot be used is skipped in silence",
    "4.3.3 kept": "a restart that is refused leaves the session as it is",
    "4.4.1 bundle": "all media share one transport, by the bundle's rules",
    "4.4.1 multiplexed": "RTP and RTCP share it too, and the answer says that they cannot but",
    "4.4.2 stream": "all that is sent is of one stream, by its msid",
    "4.4.2 one of a kind": "more than one track of a kind is refused with 4xx",
    "4.5 redirected": "no POST is redirected with 301 or 302",
    "4.7 bearer": "bearer tokens are understood, and asked for by 401",
    "4.8 simulcast": "an answer takes several encodings of one picture by RFC 8853, or does not mention them",
    "4.9 extensions": "what extensions there are stands in the answer's links, and none is needed",
    "5 https": "the server can be asked by HTTPS",
}

TESTS: defaultdict[str, set[str]] = defaultdict(set)
"""Names of tests, by what they are about."""

_Test = TypeVar("_Test", bound=Callable[..., object])


def must(*keys: str) -> Callable[[_Test], _Test]:
    """Say what of the above a test is about."""

    def note(test: _Test) -> _Test:
        for key in keys:
            assert key in MUSTS, key
            TESTS[key].add(test.__qualname__)
        return test

    return note
