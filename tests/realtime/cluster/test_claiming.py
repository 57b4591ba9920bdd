"""Limits of join tokens over all workers, while sessions begin."""

import asyncio
import json
import time
from pathlib import Path

import httpx
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.api.token_claims import CLAIM_S, USED_CLAIM_S, TokenClaims
from lipstream.realtime.api.tokens import Tokens
from lipstream.realtime.cluster.claiming import homes_of
from tests.realtime.cluster.false_cluster import FalseCluster, false_cluster

KEY = "the key of an operator"


def test_what_is_about_to_begin_counts_until_it_is_known_or_has_taken_too_long() -> None:
    claims = TokenClaims()
    assert claims.take("a", most=2, held=0, once=False, now_s=0.0)
    assert claims.take("a", most=2, held=0, once=False, now_s=0.1)
    assert not claims.take("a", most=2, held=0, once=False, now_s=0.2)
    assert claims.take("b", most=1, held=0, once=False, now_s=0.2), "each token for itself"
    assert not claims.take("a", most=2, held=1, once=False, now_s=0.3), "one has begun, one is about to"
    assert not claims.take("a", most=2, held=2, once=False, now_s=0.4)
    assert claims.take("a", most=2, held=1, once=False, now_s=0.5), "one has ended"
    claims.give_back("a")
    assert claims.take("a", most=2, held=1, once=False, now_s=0.6)
    assert claims.take("a", most=2, held=1, once=False, now_s=0.6 + CLAIM_S), "it never came"


def test_a_token_for_one_session_stays_claimed_after_it_has_begun() -> None:
    claims = TokenClaims()
    assert claims.take("a", most=1, held=0, once=True, now_s=0.0)
    assert not claims.take("a", most=1, held=1, once=True, now_s=1.0)
    assert not claims.take("a", most=1, held=0, once=True, now_s=USED_CLAIM_S - 1), "its session has ended meanwhile"
    claims.give_back("a")
    assert claims.take("a", most=1, held=0, once=True, now_s=USED_CLAIM_S - 1), "it never began"


@given(st.lists(st.sampled_from(["ask", "ask", "begin", "fail", "end", "hear"]), max_size=60), st.integers(1, 4))
def test_never_more_sessions_than_allowed(steps: list[str], most: int) -> None:
    """Ingresses hear late, sessions begin late; nothing takes longer than a claim lasts."""
    claims, about_to_begin, sessions, known = TokenClaims(), 0, 0, 0
    for step in steps:
        if step == "ask":
            about_to_begin += claims.take("a", most=most, held=known, once=False, now_s=0.0)
        elif step == "begin" and about_to_begin:
            about_to_begin, sessions = about_to_begin - 1, sessions + 1
        elif step == "fail" and about_to_begin:
            about_to_begin -= 1
            claims.give_back("a")
        elif step == "end" and sessions and known == sessions:
            sessions -= 1
        elif step == "hear":
            known = sessions
        assert sessions + about_to_begin <= most


def test_every_ingress_finds_the_same_home_and_few_change_with_a_worker() -> None:
    workers = [f"worker-{number}" for number in range(8)]
    names = [f"token-{number}" for number in range(400)]
    assert all(homes_of(name, workers) == homes_of(name, workers[::-1]) for name in names)
    kept = [name for name in names if homes_of(name, workers)[0] == homes_of(name, workers[1:])[0]]
    moved = [name for name in names if homes_of(name, workers)[0] == workers[0]]
    assert len(kept) + len(moved) == len(names)
    assert 20 < len(moved) < 90


async def _begun(cluster: FalseCluster, token: str, count: int) -> list[tuple[int, str]]:
    url = f"http://127.0.0.1:{cluster.ingress.settings.port}/api/sessions"
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {token}"}) as client:
        answers = await asyncio.gather(*(client.post(url, json={}) for _ in range(count)))
    reasons = [json.loads(one.content)["error"]["reason"] if one.content else "" for one in answers]
    return sorted(zip((one.status_code for one in answers), reasons, strict=True))


async def test_sessions_that_begin_at_once_by_one_token_are_as_many_as_it_says(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(KEY)
    tokens = Tokens([KEY])
    async with false_cluster(tmp_path, "aaaaaaaa", "bbbbbbbb", "cccccccc", secret_file=tmp_path / "keys") as cluster:
        now_s = time.time()
        refused = (503, "invitation_in_use")
        for most, once in ((1, True), (3, False)):
            token, begun = tokens.invite(now_s, max_sessions=most, once=once)[0], most
            assert await _begun(cluster, token, 8) == [(200, "")] * begun + [refused] * (8 - begun)
        unlimited = tokens.invite(now_s, max_sessions=None)[0]
        assert await _begun(cluster, unlimited, 8) == [(200, "")] * 8
