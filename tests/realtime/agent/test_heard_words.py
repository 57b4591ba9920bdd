"""What a transcriber writes of silence is nobody's turn; what a visitor says is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lipstream.realtime.agent.heard_words import heard_words

NOBODY = (
    "[BLANK_AUDIO]", "(music)", "(upbeat music playing)", "[Music]", " [ Silence ] ", "*sighs*", "♪♪", "♪ la la ♪",
    "(speaking in foreign language)", "[Applause] (laughs)", "<|nospeech|>", "（音楽）", "【笑】", "...", "", "♪",
    "Thank you for watching.", "Thanks for watching!", "Thank you so much for watching and see you next time!",
    "Please subscribe to my channel", "Subtitles by the Amara.org community", "Untertitel im Auftrag des ZDF, 2020",
    "Untertitelung. BR 2018", "Sous-titres réalisés par la communauté d'Amara.org", "¡Suscríbete al canal!",
    "Субтитры сделал DimaTorzok", "Продолжение следует...", "ご視聴ありがとうございました", "字幕由Amara.org社区提供",
    "(dramatic music)", "(crowd chattering) (phone rings)", "(speaks Spanish).", "<noise>", "{cough}", "- [Music]",
    "See you in the next video!", "Please like, share and subscribe.", "© BF-WATCH TV 2021",
    "Teksting av Nicolai Winther",
    "ترجمة نانسي قنقر", "Bedankt voor het kijken!", "Dziękuję za oglądanie.", "Obrigado por assistir!",
    "Grazie per aver guardato il video", "İzlediğiniz için teşekkürler.", "Hãy subscribe cho kênh La La School",
    "ขอบคุณที่รับชม", "请订阅", "谢谢观看", "优优独播剧场——YoYo Television Series Exclusive",
    "チャンネル登録をお願いします。",
    "ご清聴ありがとうございました", "MBC 뉴스 이덕영입니다.", "구독과 좋아요", "Спасибо за внимание!",
    "시청해주셔서 감사합니다.", "(silence) Thank you for watching.",
)  # fmt: skip
COURTESIES = (
    "Thank you.",
    "you",
    "Bye.",
    "Okay",
    "Danke.",
    "ありがとうございました。",
    "Спасибо.",
    "Vielen Dank.",
    "Um.",
    "Uh-huh.",
)
SOMEBODY = (
    "What time is it?", "Thank you for waiting.", "I am watching you.", "Call (555) 123-4567", "the room (the big one)",
    "Where can I subscribe?", "Is there music?", "Who wrote the subtitles?", "2 * 3 * 4", "Was kostet das?", "Ä", "7",
    "I said (quietly) no", "Music", "今何時ですか？",
    "See you next to the door", "Danke für die Auskunft", "Grazie per la risposta", "Is it < 3 or > 4?", "谢谢，再见",
)  # fmt: skip


@pytest.mark.parametrize("text", NOBODY)
@pytest.mark.parametrize("has_voice", [False, True])
def test_nobody_spoke(text: str, has_voice: bool) -> None:
    assert heard_words(text, has_voice=has_voice) == ""


@pytest.mark.parametrize("text", COURTESIES)
def test_courtesies_need_a_voice(text: str) -> None:
    assert heard_words(text, has_voice=False) == ""
    assert heard_words(text, has_voice=True) == text


@pytest.mark.parametrize("text", SOMEBODY)
def test_a_visitors_words_are_kept(text: str) -> None:
    assert heard_words(text, has_voice=True) == heard_words(text, has_voice=False) == text or "*" in text


def test_sounds_beside_words_are_left_out() -> None:
    assert heard_words("[Door opens] Hello there (laughs).", has_voice=True) == "Hello there ."


@given(st.text(max_size=100))
def test_any_text_is_one_line_or_none(text: str) -> None:
    words = heard_words(text, has_voice=True)
    assert words == " ".join(words.split())
