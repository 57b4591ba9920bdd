# ruff: noqa: RUF001 (other alphabets look like ours)
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


OTHER_LANGUAGES = {
    "de": (
        "Bitte bring mir ein warmes Brot und eine Flasche Wasser mit.",
        "Meine Mutter und mein Bruder wohnen am Bahnhof in einem blauen Haus.",
        "Fünf Freunde fahren im Frühling über die Brücke nach München.",
        "Papa baut mit Bob und Emma ein Baumhaus im Garten.",
        "Warum möchtest du heute nicht mit uns schwimmen gehen?",
        "Das Wetter wird besser, aber am Abend kommt noch etwas Regen.",
    ),
    "es": (
        "Mi mamá compró pan, mantequilla y un poco de miel.",
        "El pobre hombre puso la bomba debajo del puente viejo.",
        "Buenas tardes, ¿dónde está la parada del autobús más cercana?",
        "Pablo y Pepa beben un vaso de vino blanco en la plaza.",
        "Mañana vamos a hablar otra vez sobre el problema.",
        "Nueve jóvenes juegan en la hierba mojada junto al río.",
    ),
    "fr": (
        "Bonjour madame, je voudrais un petit pain et un peu de beurre.",
        "Mon père part demain pour Bordeaux avec une valise pleine de pommes.",
        "Les enfants boivent du lait chaud sous la lampe bleue.",
        "Pourquoi veux-tu que nous venions si tôt le matin ?",
        "Il fait beau, mais le vent fait bouger les branches du vieux poirier.",
        "Une bonne blague vaut mieux qu'un mauvais poème.",
    ),
    "it": (
        "La mamma compra il pane, il burro e un po' di prosciutto.",
        "Buongiorno, vorrei un bicchiere di vino bianco e dell'acqua.",
        "Il bambino beve il latte e poi gioca con la palla blu.",
        "Domani mattina partiamo per Roma con mio fratello Paolo.",
        "Questo vecchio ponte è più bello di quello nuovo.",
        "Fuori piove, ma fra poco tornerà il sole.",
    ),
    "pt": (
        "Bom dia, eu queria um pão com manteiga e um café.",
        "A minha mãe mora perto da ponte, numa casa branca.",
        "O povo passa por baixo da bandeira azul e bate palmas.",
        "Amanhã vamos à praia com o nosso primo Pedro.",
        "Você pode me dizer onde fica o museu?",
    ),
    "pl": (
        "Proszę bardzo, poproszę bułkę z masłem i kubek mleka.",
        "Moja mama mówi, że pójdziemy jutro do babci.",
        "Piotr pije wodę, a Paweł buduje wysoki płot.",
        "Wczoraj w parku widzieliśmy białe ptaki i wielkiego psa.",
    ),
    "ru": (
        "Мама купила большой белый хлеб, и папа пошёл домой.",
        "Пожалуйста, подождите минуту, вам скоро ответят.",
        "Утром мы пили молоко и ели блины с мёдом.",
        "Бабушка была в парке и видела большую белую собаку.",
        "Поезд прибывает на первый путь в половине пятого.",
        "Вы можете говорить медленно, я вас хорошо понимаю.",
        "Зимой на улице холодно, но в нашем доме тепло.",
        "Один, два, три, четыре, пять, шесть, семь, восемь, девять.",
        "Мой брат любит футбол, а сестра любит музыку.",
        "Эта книга про море, про ветер и про храбрых моряков.",
        "Купи, пожалуйста, пять яблок и бутылку воды.",
        "Вчера мы встретили старого друга возле вокзала.",
        "Помоги маме помыть посуду и убрать со стола.",
        "Бумага лежит под толстой папкой в верхнем ящике.",
        "Художник рисует портрет молодой женщины в синем платье.",
        "Ты знаешь, почему он так быстро ушёл?",
    ),
}
"""Written for this project too, by espeak-ng's language names."""

_SYLLABLES = (
    "b p m f v w t d n s z sh ch j k g l r y h th br bl pr pl fr fl tr dr cr gr sl sm sp st sw tw qu b p m b p m",
    "a e i o u a e i o u ee oo ai oa ou ow oy ar er or",
    "b p m f v t d n s z sh ch k g l r th ng mp mb st nd lt ft b p m",
)
_ONSETS, _NUCLEI, _CODAS = (tuple(part.split()) for part in _SYLLABLES)


def _made_up_word(rng: np.random.Generator) -> str:
    """Return one to three syllables that no list has; lips that close come often."""
    syllables = int(rng.integers(1, 4))
    parts = [str(rng.choice(_ONSETS)) + str(rng.choice(_NUCLEI)) for _ in range(syllables)]
    return "".join(parts) + str(rng.choice(("", str(rng.choice(_CODAS))), p=(0.25, 0.75)))


def random_text(rng: np.random.Generator, language: str = "en") -> str:
    """Return a sentence: one of ours a third of the time, else words in a row with a pause or two."""
    sentences = SENTENCES if language.startswith("en") else OTHER_LANGUAGES[language]
    kind = rng.random()
    if kind < 0.35 or sentences is not SENTENCES:
        return sentences[rng.integers(len(sentences))]
    count = int(rng.integers(6, 14))
    words = [str(rng.choice(WORDS)) if kind < 0.7 else _made_up_word(rng) for _ in range(count)]
    return "".join(word + (", " if rng.random() < 0.15 else " ") for word in words).strip(", ") + "."
