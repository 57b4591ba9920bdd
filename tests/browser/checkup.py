"""The page's own check of what may be in the way of a call."""

from tests.browser.chromium import Page

STEPS = """
Object.fromEntries([...document.querySelectorAll('#checkup-list li')].map((item) => [
  item.querySelector('b').textContent.replace(': ', ''), [item.dataset.state, item.textContent]]))
"""


def checked(page: Page) -> dict[str, list[str]]:
    """Press the page's button and return each step's state and words."""
    page.click("check")
    page.until("document.getElementById('checkup-line').textContent.match('in the way|come about')")
    steps: dict[str, list[str]] = page.run(STEPS)
    page.run("document.getElementById('checkup').close()")
    return steps
