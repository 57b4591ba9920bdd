"""What is read aloud of a written text: all of its words, and nothing of its marks."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lipstream.realtime.audio.spoken_text import spoken_text

SPOKEN = {
    "# Hello\n\nThe *text* goes **on** and _on_.": "Hello. The text goes on and on.",
    "Title\n=====\nBody\ngoes on\n***\nmore": "Title. Body goes on. more",
    "## Closed ##\nText": "Closed. Text",
    "Buy:\n- milk\n- **old** bread.\n* [ ] salt\n+ [x] tea\n• jam": "Buy: milk. old bread. salt. tea. jam.",
    "1. Go in\n2) Come out": "1. Go in. 2) Come out.",
    "| day | time |\n|:--|--:|\n| Monday | 9 to 5 |\nClosed on Sundays.":
        "day, time. Monday, 9 to 5. Closed on Sundays.",
    "a | b\n--- | ---\n1 | 2": "a, b. 1, 2",
    "> She said\n> yes.": "She said yes.",
    'See [the docs](https://a.org/x_(y) "t"), ![a cat](c.png) and [![b](c)](d).': "See the docs, a cat and b.",
    "At https://www.example.org/a/b?c=1#d, www.a.de/x. <http://u:p@b.org:80/>!": "At example.org, a.de. b.org!",
    "Write to a_b@c.de or **x_y@z.org**": "Write to a_b@c.de or x_y@z.org",
    "[[hello]] and [[Page|its name]], x[1][2]": "hello and its name, x[1][2]",
    "2*3, 2 * 3, a*b, x * y, 5*": "2 × 3, 2 × 3, a × b, x × y, 5",
    "C#, F#, #1, #tag, C++, a - b, 3-4, ~5 km, R&D, 10 %": "C#, F#, #1, #tag, C++, a - b, 3-4, ~5 km, R&D, 10 %",
    "un*frigging*believable snake_case __init__ ~~old~~ ==new==": "unfriggingbelievable snake case init old new",
    "**Haus**tür, 中文**粗体**文本, **사과**는, a**b": "Haustür, 中文粗体文本, 사과는, a b",
    "~old~ and ~5 km, 1_000_000 or 1_0": "old and ~5 km, 1000000 or 1 0",
    "Use `ls -l` or ``a`b``": "Use ls -l or a b",
    "Do:\n```py\nprint('x')\n\n# y\n```\nDone.\n~~~\nz\n~~~": "Do: Done.",
    "Open\n```\nnever closed": "Open.",
    "Great 🎉! 👨‍👩‍👧 Hello👋there 1️⃣ 🇩🇪.": "Great! Hello there 1.",
    "25 °C, 5 €, © 2020, ½, x²": "25 °C, 5 €, © 2020, ½, x²",
    "❶ क्‍ष می‌روم": "❶ क्‍ष می‌روم",
    "Start → Menu → Off, so x -> y": "Start, Menu, Off, so x, y",
    "A fact[^1], and more【4:0†source】.\n\n[^1]: The note.\n[1]: https://a.org": "A fact, and more. The note.",
    "&lt;b&gt;Bold&lt;/b&gt; &amp;amp; &quot;it&quot;&nbsp;is &unknown; R&D;": 'Bold & "it" is &unknown; R&D;',
    'a < b > c, <br>new<br/> <b class="x">line</b> <3': "a < b > c, new line <3",
    r"\*star\* and C:\dir": r"star and C:\dir",
    "Bye.<|im_end|><|eot_id|>": "Bye.",
    "└── file\n│": "file.",
    "A heading\n\nThe text\ngoes on.\x00\x1b": "A heading. The text goes on.",
    "Well:\n\nYes;\r\n\r\nIndeed": "Well: Yes; Indeed",
    "\ud800x \ud83d\ude00y \ufffd": "x y",
    "zero\u200bwidth so\u00adft \u202eright\u202c to\u200f\ufeff": "zerowidth soft right to",
    "# Heading #\n## C# ##\n# C #": "Heading. C#. C.",
    "> [!NOTE]\n> It rains.": "NOTE. It rains.",
    "Term\n: its meaning": "Term. its meaning.",
    "The [page][1] or [it][], [5][6] and x[a][b].\n[1]: https://a.org 'T'": "The page or it, [5][6] and x[a][b].",
    "One <!-- two\nthree --> four <!-- five": "One four <!-- five",
    "<style>p { }</style>Hello <script>let a = 1</script>there": "Hello there",
    '<speak>Wait <break time="1.5s"/><emphasis level="strong">here</emphasis> <mark/>.</speak>': "Wait here .",
    '<mstts:express-as style="sad">Oh</mstts:express-as> <said>no</said> <who> x<3>y': "Oh no <who> x<3>y",
    "<mailto:a@b.org>, <c@d.org> or mailto:e@f.org": "a@b.org, c@d.org or e@f.org",
    "rtsp://a.org/b and git+ssh://u@c.org:22/d": "a.org and c.org",
    "Fine :smile:! :+1: at 10:30:45, std::vector: good": "Fine ! at 10:30:45, std::vector: good",
    "a <- b <=> c ↔ d, e <= f": "a, b, c, d, e <= f",
    r"$E = mc^2$ is \(a_1 \le b_i\), $5 and $10, US$3 to 4$": "E = mc² is a₁ ≤ b i, $5 and $10, US$3 to 4$",
    r"So \[\frac{a}{b} \times \sqrt{x} = \text{rate}\,\%\] and $$\pi$$.": "So a / b × √x = rate % and π.",
    "यह एक है।\n- दो": "यह एक है। दो.",
    "": "",
    "---": "",
    "* * *\n| - |": "",
}  # fmt: skip


@pytest.mark.parametrize(("text", "spoken"), SPOKEN.items())
def test_spoken(text: str, spoken: str) -> None:
    assert spoken_text(text) == spoken


words = st.text(st.sampled_from("abzAZ019éßжक語عא"), min_size=1, max_size=8)
phrases = st.lists(words, min_size=1, max_size=4).map(" ".join)
spans = st.one_of(
    phrases,
    phrases.map("**{}**".format),
    phrases.map("*{}*".format),
    phrases.map("__{}__".format),
    phrases.map("~~{}~~".format),
    phrases.map("`{}`".format),
    phrases.map("[[{}]]".format),
    phrases.map('[{}](https://example.org/a_(b)?c=d "e")'.format),
    phrases.map("![{}](/x.png)".format),
    phrases.map("<b>{}</b>".format),
    phrases.map('<prosody rate="slow">{}</prosody>'.format),
    phrases.map("{}<!-- {{}} -->".format).map(lambda one: one.replace("{}", "")),
    phrases.map("{} 🎉👍🏽".format),
    phrases.map("**_`{}`_**".format),
)
lines = st.lists(spans, min_size=1, max_size=3).map(" ".join)
blocks = st.one_of(
    lines,
    lines.map("# {}".format),
    lines.map("### {} ###".format),
    lines.map("- {}".format),
    lines.map("* [ ] {}".format),
    lines.map("> {}".format),
    lines.map("> - {}".format),
    lines.map("| {} | {{}} |\n|---|---|".format).map(lambda row: row.replace("{}", "")),
    lines.map("{}\n---".format),
    st.just("```\ncode\n```"),
    st.just("***"),
)


@given(st.lists(st.tuples(blocks, st.sampled_from(["\n", "\n\n", "\r\n"])), max_size=6))
def test_all_words_are_read_and_no_marks(parts: list[tuple[str, str]]) -> None:
    text = "".join(block + end for block, end in parts)
    spoken = spoken_text(text)
    written = text.replace("```\ncode\n```", "").replace('https://example.org/a_(b)?c=d "e"', "").replace("/x.png", "")
    written = written.replace("<b>", "").replace("</b>", "").replace('<prosody rate="slow">', "")
    written = (
        written.replace("</prosody>", "")
        .replace("\N{VARIATION SELECTOR-16}", "")
        .replace("[ ]", "")
        .replace("x.png", "")
    )
    assert bare(spoken) == bare(written)
    assert not set(spoken) & set("*_`#~|[]<>=\n🎉👍🏽"), spoken
    assert "  " not in spoken


@given(st.text(st.one_of(st.characters(), st.sampled_from(" .!?*_`#|[]()<>&@\n-")), max_size=200))
@example("0`@")
def test_any_text_gives_one_line_without_what_engines_read_as_orders(text: str) -> None:
    spoken = spoken_text(text)
    assert "[[" not in spoken
    assert "`" not in spoken
    assert spoken == " ".join(spoken.split())
    spoken.encode()


@given(st.text(st.sampled_from("aB1 .,!?'-:;\n"), max_size=200))
def test_plain_text_loses_nothing(text: str) -> None:
    assert bare(spoken_text(text)) == bare(text)


def bare(text: str) -> str:
    marks = ("Mn", "Mc")  # vowels and tones of many scripts
    return "".join(char for char in text if char.isalnum() or unicodedata.category(char) in marks)
