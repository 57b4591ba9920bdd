"""Tells the words of a transcript from what transcribers write where nobody spoke.

They mark other sounds in brackets, such as ``[BLANK_AUDIO]`` and ``(music)``. From silence and noise, Whisper and its
descendants make sentences that end many films of their training: thanks for watching, credits of subtitles.
"""

import re
import unicodedata

_MARKS = re.compile(
    r"\[[^\[\]]*\]|【[^【】]*】|\*[^*]*\*|<\|[^<>|]*\|>|<[A-Za-z][A-Za-z_ ]*>|\{[^{}]*\}|[♪♫♬]+[^♪♫♬]*[♪♫♬]+|[♪♫♬]"
)
_ASIDES = re.compile(r"[(（]([^()（）]*)[)）]")
_SOUNDS = frozenset(
    "applause audience background barking beep blank breathing buzzing chatter cheering chime clapping clears click "
    "clicking clicks cough coughing coughs crying door footsteps gasps giggles heavy humming inaudible indistinct "
    "instrumental keyboard knocking laughing laughs laughter moaning music muffled mumbling murmuring noise no audio "
    "playing phone ringing rustling screaming sighs sigh silence silent singing sneezes sniffs sound speech speaking "
    "static tapping throat thud ticking typing unintelligible upbeat whistling wind foreign language in the "
    "musik applaus lachen stille geräusch musique applaudissements rires silence música aplausos risas silencio "
    "музыка аплодисменты смех тишина 音楽 拍手 笑い 音乐 掌声 笑声 음악 박수 웃음".split()
)
_CREDITS = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:thanks|thank you)(?: so much| very much)? for (?:watching|listening|viewing)\b.*",
        r"(?:please |don't forget to )?(?:like and |like, |like, share,? and )?subscribe\b.*",
        r"(?:i'll |i will |we'll )?see you (?:in the |in my )?next (?:video|time|one|episode)\b.*",
        r"(?:subtitles?|captions?|translation|transcription|subbed|translated)(?: (?:and|&) \w+)? by\b.*",
        r".*\bamara\.?org\b.*",
        r"untertitel\b.*|untertitelung\b.*|copyright wdr.*|vielen dank fürs zuschauen",
        r"sous-?titr\w+ .*|merci d'avoir regardé.*|abonnez-?vous.*",
        r"(?:teksting|undertekster|titulky vytvořil) .*|© .*\b(?:tv|watch|wdr|zdf)\b.*",
        r"ترجمة نانسي.*|اشتركوا في القناة.*",
        r"(?:bedankt|dank (?:je|u)(?: wel)?) voor het kijken.*|tak for at i så med.*|dziękuję za (?:oglądanie|uwagę).*",
        r"obrigad[oa] por (?:assistir|ver).*|inscreva-se.*|grazie per (?:aver guardato|la visione).*",
        r"iscriviti al canale.*",
        r"i̇?zlediğiniz için teşekkür.*|abone ol.*|hãy subscribe.*|cảm ơn .* theo dõi.*|ขอบคุณที่(?:รับชม|ติดตาม).*",
        r"subtítulos .*|gracias por ver.*|¡?suscr[ií]be\w*.*",
        r"sottotitoli .*|legendas .*|ondertiteld .*|napisy .*|altyazı.*|tekstet av.*|undertexter .*",
        r"субтитры.*|продолжение следует.*|спасибо за просмотр.*|редактор субтитров.*|спасибо за внимание",
        r"(?:最後まで)?ご(?:視聴|清聴)(?:いただき)?ありがとうございま.*|チャンネル登録.*|字幕.*|請不吝點讚.*|请不吝点赞.*",
        r"(?:谢谢|感谢|多谢)(?:您的?|大家的?)?(?:观看|收看|收听).*|謝謝觀看.*|请订阅.*|.*独播剧场.*",
        r"시청해\s*주셔서 감사합니다.*|구독과 좋아요.*|mbc 뉴스 .*",
    )
)
_COURTESIES = frozenset(
    "you|thank you|thanks|bye|bye bye|bye-bye|okay|ok|oh|hmm|mm|mm-hmm|uh|uh-huh|um|yeah|so|the|i|danke|vielen dank|"
    "merci|gracias|grazie|obrigado|спасибо|ありがとうございました|谢谢|谢谢大家|감사합니다".split("|")
)
"""Said by visitors, and written by transcribers that heard noise."""


def heard_words(transcript: str, *, has_voice: bool) -> str:
    """Return what a visitor said; empty if nobody spoke.

    Args:
        has_voice: Whether a voice was found in the sound that the transcript is of.
    """
    text = _MARKS.sub(" ", transcript)
    if not _ASIDES.sub("", text).strip(" .,!?-"):
        return ""  # people do not speak in brackets
    text = _ASIDES.sub(lambda found: " " if _is_sound(found[1]) else found[0], text)
    text = " ".join(text.split())
    bare = _bare(text)
    if not any(char.isalnum() for char in text) or any(pattern.fullmatch(bare) for pattern in _CREDITS):
        return ""
    return "" if not has_voice and bare in _COURTESIES else text


def _is_sound(aside: str) -> bool:
    words = re.findall(r"\w+", aside.lower())
    return not words or all(word in _SOUNDS for word in words)


def _bare(text: str) -> str:
    """Return a text in lower case, without stops at its ends."""
    return unicodedata.normalize("NFC", text).lower().replace("’", "'").strip(' .!?…,。！？-"')
