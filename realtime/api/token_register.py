"""Join tokens that were signed, revoked or used up, kept in the store until they expire.

Short-lived tokens are listed from memory alone: after a restart those of the last minutes are unknown, but they can
still be revoked by their id.
"""

import asyncio
import hashlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lipstream.realtime.api.tokens import KIOSK_TOKEN_S, Invitation
from lipstream.realtime.errors import SettingsError
from lipstream.realtime.wire.cluster_messages import TokenLists

logger = logging.getLogger(__name__)

FILE = "tokens.json"
"""Name in the store."""
MOST_LISTED = 10_000
"""Tokens that are listed; signing more forgets those that expire first. Revoked ones are never forgotten early."""
MOST_REVOKED = 100_000


@dataclass(frozen=True, slots=True)
class SignedToken:
    """A join token that was signed.

    Attributes:
        label: Text of the operator who asked for it.
        key: Name of the API key that asked for it.
        signed_s: Unix time, s.
    """

    invitation: Invitation
    label: str
    key: str
    signed_s: int


class TokenRegister:
    """The join tokens of one store.

    Raises:
        SettingsError: If the file is damaged: revoked tokens would be valid again.
    """

    def __init__(self, store: Path) -> None:
        self._path = store / FILE
        self._signed: dict[str, SignedToken] = {}
        self._revoked: dict[str, int] = {}
        self._used: dict[str, int] = {}
        self._reserved: set[str] = set()  # used tokens whose session has not begun yet
        self._writing = asyncio.Lock()
        self._read()

    async def note_signed(self, token: SignedToken, now_s: float) -> None:
        """Remember a token that was signed.

        Raises:
            OSError: If the store cannot be written.
        """
        self._forget_expired(now_s)
        while len(self._signed) >= MOST_LISTED:
            del self._signed[min(self._signed, key=lambda known: self._signed[known].invitation.expires_s)]
        self._signed[token.invitation.id] = token
        if token.invitation.kiosk:
            await self._write()

    def signed(self, now_s: float) -> list[SignedToken]:
        """Return the tokens that have not expired, oldest first."""
        self._forget_expired(now_s)
        return sorted(self._signed.values(), key=lambda token: token.signed_s)

    def revoke(self, token_id: str, now_s: float, *, expires_s: int = 0) -> None:
        """Make a token invalid from now on, also one that is not listed; :meth:`keep` makes that last.

        Args:
            now_s: Unix time, s.
            expires_s: Unix time at which the token expires, if the caller knows it; 0 assumes the longest time.
        """
        self._forget_expired(now_s)
        known = self._signed.get(token_id)
        expires_s = known.invitation.expires_s if known else expires_s or int(now_s) + 2 * KIOSK_TOKEN_S
        while len(self._revoked) >= MOST_REVOKED:
            del self._revoked[min(self._revoked, key=lambda revoked: self._revoked[revoked])]
        self._revoked[token_id] = expires_s

    def is_revoked(self, token_id: str) -> bool:
        """Return whether a token was revoked."""
        return token_id in self._revoked

    def is_used(self, token_id: str) -> bool:
        """Return whether a token for one session has begun it."""
        return token_id in self._used

    def reserve(self, invitation: Invitation) -> bool:
        """Count the one use of a token; return whether it was free."""
        if invitation.id in self._used:
            return False
        self._used[invitation.id] = invitation.expires_s
        self._reserved.add(invitation.id)
        return True

    def give_back(self, invitation: Invitation) -> None:
        """Undo :meth:`reserve`, since no session came of it."""
        self._used.pop(invitation.id, None)
        self._reserved.discard(invitation.id)

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of revoked and of used tokens."""
        return len(self._revoked), len(self._used) - len(self._reserved)

    def lists(self) -> TokenLists:
        """Return the tokens that open nothing more, without those whose use may still be given back."""
        used = {name: expires_s for name, expires_s in self._used.items() if name not in self._reserved}
        return TokenLists(revoked=dict(self._revoked), used=used)

    def lists_tag(self) -> str:
        """Return what names the state of :meth:`lists`, the same on every server with the same lists."""
        lists = self.lists()
        text = json.dumps([sorted(lists["revoked"].items()), sorted(lists["used"].items())])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    async def merge(self, lists: TokenLists, now_s: float) -> None:
        """Take in the lists of another server; the later expiry of a token counts.

        Raises:
            OSError: If the store cannot be written; the lists hold until the next start.
        """
        for own, others in ((self._revoked, lists["revoked"]), (self._used, lists["used"])):
            for name, expires_s in list(others.items())[:MOST_REVOKED]:
                own[name] = max(own.get(name, 0), expires_s)
        self._forget_expired(now_s)
        await self._write()

    async def keep(self, used: Invitation | None = None) -> None:
        """Store what :meth:`reserve` counted and :meth:`revoke` forbade.

        Args:
            used: A token whose session has begun, so that its use is not given back; ``None`` for none.

        Raises:
            OSError: If the store cannot be written; what was counted and forbidden holds until the next start.
        """
        if used:
            self._reserved.discard(used.id)
        await self._write()

    def _forget_expired(self, now_s: float) -> None:
        self._signed = {name: token for name, token in self._signed.items() if token.invitation.expires_s > now_s}
        for known in (self._revoked, self._used):
            for name in [name for name, expires_s in known.items() if expires_s <= now_s]:
                del known[name]

    def _read(self) -> None:
        try:
            kept: Any = json.loads(self._path.read_text())
            self._revoked = {str(name): int(at_s) for name, at_s in kept["revoked"].items()}
            self._used = {str(name): int(at_s) for name, at_s in kept["used"].items()}
            for entry in kept["signed"]:
                invitation = Invitation.parse(entry["claims"])
                if invitation:
                    token = SignedToken(invitation, str(entry["label"]), str(entry["key"]), int(entry["signed"]))
                    self._signed[invitation.id] = token
        except (FileNotFoundError, NotADirectoryError):  # the server's start says what a store lacks
            return
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise SettingsError(
                f"the list of revoked tokens {self._path} cannot be read ({type(error).__name__}): restore it, or "
                "remove it and change the API keys"
            ) from error

    async def _write(self) -> None:
        async with self._writing:
            await asyncio.to_thread(self._replace, self._text())

    def _text(self) -> str:
        signed = [
            {"claims": token.invitation.claims(), "label": token.label, "key": token.key, "signed": token.signed_s}
            for token in self._signed.values()
            if token.invitation.kiosk
        ]
        return json.dumps({"revoked": self._revoked, "used": self._used, "signed": signed}, indent=1)

    def _replace(self, text: str) -> None:
        """Write the file whole or not at all, also if the power fails."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self._path.with_suffix(".part")
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
