# ruff: noqa: RUF001 (letters of other alphabets look like Latin ones)
"""Sentences to speak: written for this project, and random ones from lists of common words."""

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
        "Mein Opa pflanzt im Mai immer Bohnen, Möhren und Pfefferminze.",
        "Wo ist bitte die Apotheke? Gleich neben dem Supermarkt.",
        "Wir wollen morgen früh mit dem Bus zum Bauernhof fahren.",
        "Der Sommer war warm, und die Äpfel am Baum sind schon reif.",
        "Vielleicht finde ich den Schlüssel für den Briefkasten im Flur.",
        "Ein Film, ein Buch und ein bequemes Sofa: so mag ich den Abend.",
        "Hoffentlich kommt der Brief von meiner Schwester übermorgen an.",
        "Zehn, zwanzig, dreißig, vierzig, fünfzig, hundert, tausend.",
    ),
    "es": (
        "Mi mamá compró pan, mantequilla y un poco de miel.",
        "El pobre hombre puso la bomba debajo del puente viejo.",
        "Buenas tardes, ¿dónde está la parada del autobús más cercana?",
        "Pablo y Pepa beben un vaso de vino blanco en la plaza.",
        "Mañana vamos a hablar otra vez sobre el problema.",
        "Nueve jóvenes juegan en la hierba mojada junto al río.",
        "Mi hermano vive en un pueblo pequeño, muy cerca de la frontera.",
        "¿Puede usted repetir el número, por favor? No lo he oído bien.",
        "El viernes fuimos al mercado y compramos uvas, peras y bombones.",
        "La familia prepara una buena comida para la abuela.",
        "Me gusta mucho el café con leche, pero hoy prefiero un té.",
        "Uno, dos, tres, cuatro, cinco, seis, siete, ocho, nueve, diez.",
        "En febrero llueve bastante, pero en mayo hace buen tiempo.",
        "Juan subió al autobús y vio un caballo blanco en el campo.",
    ),
    "fr": (
        "Bonjour madame, je voudrais un petit pain et un peu de beurre.",
        "Mon père part demain pour Bordeaux avec une valise pleine de pommes.",
        "Les enfants boivent du lait chaud sous la lampe bleue.",
        "Pourquoi veux-tu que nous venions si tôt le matin ?",
        "Il fait beau, mais le vent fait bouger les branches du vieux poirier.",
        "Une bonne blague vaut mieux qu'un mauvais poème.",
        "Ma femme vous propose de boire un verre de vin ou une boisson fraîche.",
        "Un, deux, trois, quatre, cinq, six, sept, huit, neuf, dix.",
        "Pouvez-vous fermer la fenêtre, s'il vous plaît ? Il fait froid.",
        "Le boulanger vend aussi des brioches et des tartes aux framboises.",
        "Mon ami Philippe habite au premier étage d'un immeuble blanc.",
        "Nous avons pris le bus parce que la voiture ne marchait plus.",
        "Vendredi prochain, ma fille fêtera son anniversaire à Paris.",
        "Le chef veut bien que je parte plus tôt samedi après-midi.",
    ),
    "it": (
        "La mamma compra il pane, il burro e un po' di prosciutto.",
        "Buongiorno, vorrei un bicchiere di vino bianco e dell'acqua.",
        "Il bambino beve il latte e poi gioca con la palla blu.",
        "Domani mattina partiamo per Roma con mio fratello Paolo.",
        "Questo vecchio ponte è più bello di quello nuovo.",
        "Fuori piove, ma fra poco tornerà il sole.",
        "Vorrei prenotare una camera con bagno per due persone.",
        "Mia nonna prepara sempre una buona zuppa di fagioli e funghi.",
        "Uno, due, tre, quattro, cinque, sei, sette, otto, nove, dieci.",
        "Febbraio è un mese freddo, ma in montagna fa bello.",
        "Puoi aprire la finestra, per favore? Ho bisogno d'aria fresca.",
        "Il professore ha spiegato bene il problema più difficile.",
        "Mio fratello abita sopra un bar, in mezzo a una piazza famosa.",
        "Venerdì abbiamo visto un bel film e mangiato una pizza.",
    ),
    "ja": (
        "おはようございます。今朝は少し寒いですね。",
        "ママは毎朝、パンにバターを塗って食べます。",
        "パパは日曜日に、近くの公園で犬と遊びます。",
        "すみません、この近くに郵便局はありますか。",
        "冬の朝、窓から富士山がはっきり見えました。",
        "友達と一緒に、古い映画を三本も見ました。",
        "もう一度、ゆっくり話してもらえませんか。",
        "バスは八時半に駅の前から出発します。",
        "弟は学校の帰りに、本屋で漫画を買いました。",
        "この紅茶には、ミルクと蜂蜜がよく合います。",
        "雨が降りそうだから、傘を持って行ってください。",
        "昨日の晩、久しぶりに母から電話がありました。",
        "わたしの部屋は二階で、窓がふたつあります。",
        "ピアノの練習は、毎日三十分だけします。",
        "夏休みには、家族みんなで海へ泳ぎに行きます。",
        "ポケットの中に、切符とハンカチが入っています。",
        "コップを三つ、テーブルの上に並べてください。",
        "おばあさんは庭で、美しい花を育てています。",
        "ボールペンで、ここに名前と番号を書いてください。",
        "かばんが重いので、ちょっと待ってもらえますか。",
        "桃とぶどうと、みかんを一箱ください。",
        "父は若いころ、船で世界を回ったそうです。",
        "今夜は豚肉とピーマンで、晩御飯を作ります。",
        "電車が混んでいて、ずっと立ったままでした。",
        "あの赤い屋根の家には、誰が住んでいるのですか。",
        "フランスの古い町で、かわいい帽子を見つけました。",
        "病院の前に、新しいパン屋ができたそうです。",
        "夕べは眠れなくて、朝まで本を読んでいました。",
        "ペンギンは鳥ですが、空を飛ぶことができません。",
        "わあ、すごい。こんなに大きな虹は初めて見ました。",
        "申し訳ありませんが、しばらくお待ちください。",
        "お電話ありがとうございます。ご用件をどうぞ。",
        "一、二、三、四、五、六、七、八、九、十。",
        "月曜日、火曜日、水曜日、木曜日、金曜日。",
        "シャツの袖が短くて、腕が半分しか隠れません。",
        "ゆうべの雪で、道が真っ白になりました。",
        "赤ちゃんは、まぶしそうに目をぱちぱちさせた。",
        "風邪をひいたので、薬を飲んで早く休みます。",
        "ぼくは絵を描くのが好きで、妹は歌が上手です。",
        "さようなら。また来週、みんなで集まりましょう。",
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
"""Sentences in other languages, written for this project, by espeak-ng's language names."""

_SYLLABLES = (
    "b p m f v w t d n s z sh ch j k g l r y h th br bl pr pl fr fl tr dr cr gr sl sm sp st sw tw qu b p m b p m",
    "a e i o u a e i o u ee oo ai oa ou ow oy ar er or",
    "b p m f v t d n s z sh ch k g l r th ng mp mb st nd lt ft b p m",
)
_MORAS = tuple(
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン"
    "ガギグゲゴザジズゼゾダデドバビブベボパピプペポ"
    "バビブベボパピプペポマミムメモ"
)
_ONSETS, _NUCLEI, _CODAS = (tuple(part.split()) for part in _SYLLABLES)


def _made_up_word(rng: np.random.Generator) -> str:
    """Return one to three syllables that are in no list; lips that close are frequent."""
    syllables = int(rng.integers(1, 4))
    parts = [str(rng.choice(_ONSETS)) + str(rng.choice(_NUCLEI)) for _ in range(syllables)]
    return "".join(parts) + str(rng.choice(("", str(rng.choice(_CODAS))), p=(0.25, 0.75)))


def random_text(rng: np.random.Generator, language: str = "en") -> str:
    """Return a sentence: one of the written ones a third of the time, else random words with a pause or two.

    English has more words than the written sentences, and made-up words. Japanese, which sets no blanks between its
    words, has only written sentences.
    """
    sentences = SENTENCES if language.startswith("en") else OTHER_LANGUAGES[language]
    kind = rng.random()
    if kind < 0.35:
        return sentences[rng.integers(len(sentences))]
    count = int(rng.integers(6, 14))
    if language == "ja":
        words = ["".join(rng.choice(_MORAS, rng.integers(2, 5))) for _ in range(count // 2)]
        return "、".join(words) + "。"
    if sentences is SENTENCES:
        words = [str(rng.choice(WORDS)) if kind < 0.7 else _made_up_word(rng) for _ in range(count)]
    else:
        known = [word.strip(",.:?¿!") for sentence in sentences for word in sentence.split()]
        words = [str(word) for word in rng.choice([word for word in known if word], count)]
    return "".join(word + (", " if rng.random() < 0.15 else " ") for word in words).strip(", ") + "."
