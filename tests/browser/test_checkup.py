"""The page's own check in a browser that keeps the microphone to itself."""

from collections.abc import Callable

import pytest

from tests.browser.checkup import checked
from tests.browser.chromium import chromium
from tests.server_process import ServerProcess

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.timeout(300)]


def test_the_page_names_a_refused_microphone(start_server: Callable[..., ServerProcess]) -> None:
    server = start_server()
    with chromium(None, allow_microphone=False) as page:
        page.open(server.url)
        page.click("start")
        page.until("document.documentElement.dataset.reason === 'microphone-refused'")
        steps = checked(page)
        assert steps["Microphone"][0] == "bad"
        assert "Allow the microphone" in steps["Microphone"][1]
        assert steps["Sound and picture (UDP)"][0] == "good"
        assert "lipstream_sessions 0" in server.metrics(), "the check gives its seat back"
