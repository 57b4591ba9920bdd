"""Sentences to speak: written for this project, and random ones from a list of common words."""

from __future__ import annotations

import numpy as np

SENTENCES = (
    "Please bring a map, a pen, and both of the blue books.",
    "My mother made warm plum jam for Paul and Bob.",
    "Five very fine vans drove over the frozen river.",
    "We were away when the wind blew the wooden window wide open.",
    "You should choose a cheap watch, or a huge orange jug.",
    "I think that the other brother is thirsty.",
    "She sees six ships sailing south in silence.",
    "Who knew that the moon would move so soon?",
    "Hello, how are you today? I hope that everything is all right.",
    "The quick brown fox jumps over the lazy dog.",
    "Thank you for calling. Someone will be with you in a moment.",
    "Open the door, and let the cool evening air come in.",
    "A happy baby put a purple apple in the bath.",
    "Far off, a farmer found a few funny flowers.",
    "Our hour is up, now go out and shout about it.",
    "The boy enjoyed the noise of the royal oysters.",
    "Maybe tomorrow we can meet by the bridge and talk.",
    "It is warm here, so take off your coat and sit down.",
    "Numbers: one, two, three, four, five, six, seven, eight, nine, ten.",
    "Eleven, twelve, thirteen, twenty, a hundred, a thousand, a million.",
    "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.",
    "What a beautiful view! I could look at it for hours.",
    "Could you tell me where the nearest bus stop is, please?",
    "No, I do not believe that. Show me the proof first.",
    "Big black bears prefer deep, dark, and empty caves.",
    "He gave her a cup of coffee and a piece of cake.",
    "Every morning we walk along the beach before breakfast.",
    "The weather improved, but the roof of the barn is still wet.",
    "Put the paper back in the top box, and lock it up.",
    "Few people have ever viewed this valley from above.",
    "Mama, papa, baby, puppy, poppy, bubble, pebble, maple.",
    "Whether we win or lose, we will always play with joy.",
    "Judge George changed the large orange badge.",
    "The thick cloth is worth more than the thin one.",
    "Look at the full moon above the good old woods.",
    "Oh! Ah! Ooh! Wow! Hmm. Yes. No. Maybe.",
    "Keep calm, take care, and come back again quickly.",
    "Red leather, yellow leather, really rare lorries.",
    "I am a voice in a machine, and this is my face.",
    "Speak slowly, and I will follow every word you say.",
)

_LIST = (
    "about above again air all always and animal answer any apple ask baby back bag ball bath be beach bed before"
    " began below best better between big bird black blue boat body book both box boy bread bring brother brown build"
    " bus but buy by cake call came can car care change cheap child church city clean close cloth coat coffee cold"
    " come cool could cover cow cup dark day deep did do dog door down draw dream drive drop each ear earth east eat"
    " egg eight every eye face fall family far farm fast father feel few field find fine fire first fish five floor"
    " flower fly follow food foot for form found four free fresh friend from front full funny game garden gave girl"
    " give glass go gold good great green ground grow half hand happy hard have he head hear heart help her high hill"
    " him his hold home hope horse hot hour house how ice idea if jam job join jump just keep kind king know lady lake"
    " land large last late laugh leaf learn leave left leg less letter life light like line list live long look lose"
    " love low lunch make man map march mark may me mean meet milk mind minute moment money month moon more morning"
    " most mother mountain mouth move much music must my name near never new next night nine no noise noon north nose"
    " note now number of off often oil old on once one only open or orange other our out over own page paint pair"
    " paper park part pass path pay people perhaps person piece place plan plane plant play please point poor pull"
    " push put queen question quick quiet quite rain reach read ready real red rest rich ride right river road rock"
    " room rope round run safe said sail same sand save say school sea second see seven shape she ship shoe shop short"
    " should show side simple sing sister six skin sky sleep slow small snow so some song soon sound south speak"
    " spring stand star stone stop story street strong such sugar summer sun sure sweet table take talk teach tell ten"
    " than thank that the them there these they thin thing think this those thought three through time to today tooth"
    " top town tree true try turn twelve two under until up us use usual valley very view village visit voice wait walk"
    " wall want war warm wash watch water wave way we wear week well were west what wheel when where which white who"
    " whole why wife wild will win wind window winter wish with woman wonder wood word work world would write yellow"
    " yes yet you young your zero zoo"
)
WORDS = tuple(_LIST.split())


def random_text(rng: np.random.Generator) -> str:
    """Return a sentence: one of ours half of the time, else words in a row with a pause or two."""
    if rng.random() < 0.5:
        return SENTENCES[rng.integers(len(SENTENCES))]
    words = [str(rng.choice(WORDS)) for _ in range(int(rng.integers(6, 14)))]
    return "".join(word + (", " if rng.random() < 0.15 else " ") for word in words).strip(", ") + "."
