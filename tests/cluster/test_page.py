"""The page in Chromium, whose worker is killed: it goes on with another one by itself."""

from pathlib import Path
from typing import Any

import pytest

from lipstream.realtime.session.session_names import split_id
from tests.browser.chromium import chromium
from tests.cluster.conftest import WAIT_S, Cluster, until

pytestmark = [pytest.mark.needs("chromium", "recorded speech"), pytest.mark.timeout(900)]

LIVE = "document.documentElement.dataset.state === 'live' && document.getElementById('avatar-video').videoWidth > 0"
STAMP = """
(() => {
  const video = document.getElementById('avatar-video');
  window.pictures = 0;
  const count = () => { window.pictures += 1; video.requestVideoFrameCallback(count); };
  video.requestVideoFrameCallback(count);
})()
"""


async def test_the_page_speaks_again_with_its_avatar_when_its_worker_is_killed(
    cluster: Cluster, speech_wav: Path
) -> None:
    client = cluster.client(cluster.ingresses[0])
    token = (await client.post("/api/tokens", json={})).json()["token"]

    async def speaking(former_id: str = "") -> dict[str, Any] | None:
        for listed in (await client.get("/api/sessions")).json():
            answer = await client.get(f"/api/sessions/{listed['id']}")
            if listed["id"] != former_id and answer.is_success and answer.json()["speaking"]:
                return {"id": listed["id"], **answer.json()}
        return None

    with chromium(speech_wav) as page:
        page.open(f"{cluster.ingresses[0].url}/#join={token}")
        page.until("document.querySelector('[data-avatar=\"bob\"] input')", WAIT_S)
        page.run("document.querySelector('[data-avatar=\"bob\"] input').click()")
        page.click("start")
        page.until(LIVE, WAIT_S)
        old = await until(speaking, "speech")
        cluster.worker_of(old["id"]).replace()
        new = await until(lambda: speaking(old["id"]), "speech again")
        assert (new["avatar"], split_id(new["id"])[1]) == ("bob", split_id(old["id"])[1])
        assert split_id(new["id"])[0] != split_id(old["id"])[0]
        page.until(LIVE, WAIT_S)
        page.run(STAMP)
        page.until("window.pictures > 5", WAIT_S)
    await client.delete(f"/api/sessions/{new['id']}")
