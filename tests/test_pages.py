"""The pages that are written by programs are those that the programs write now."""

from pathlib import Path

from tests import api_page, settings_page


def test_the_page_of_the_api_is_what_the_server_says(tmp_path: Path, no_built_in_avatars: None) -> None:
    written = api_page.api_page(api_page.read_description(tmp_path))
    assert api_page.PAGE.read_text() == written, "run: python -m tests.api_page"


def test_the_page_of_settings_is_what_the_options_say() -> None:
    assert settings_page.PAGE.read_text() == settings_page.settings_page(), "run: python -m tests.settings_page"
