"""IFEval's checks, an answer that follows and one that does not for each of the 25."""

from __future__ import annotations

import pytest

from xtune.errors import DataError
from xtune.eval.instructions.checks import (
    INSTRUCTIONS,
    follows,
    loose_forms,
    require_instruction,
)
from xtune.eval.instructions.language import language_of
from xtune.eval.instructions.sentences import sentences_of

# instruction, settings, answers that follow, answers that do not
CASES = [
    (
        "keywords:existence",
        {"keywords": ["C++", "river"]},
        ["The River of c++ code"],
        ["c++ alone", "a river alone"],
    ),
    (
        "keywords:frequency",
        {"keyword": "tea", "frequency": 3, "relation": "at least"},
        ["Tea, tea and tea.", "teapot teapot tea"],
        ["tea and tea"],
    ),
    (
        "keywords:frequency",
        {"keyword": "tea", "frequency": 2, "relation": "less than"},
        ["coffee", "one tea"],
        ["tea tea"],
    ),
    (
        "keywords:forbidden_words",
        {"forbidden_words": ["rock", "sand"]},
        ["A rocket over the beach"],
        ["A ROCK.", "Much sand, no stone"],
    ),
    (
        "keywords:letter_frequency",
        {"letter": "Q", "let_frequency": 2, "let_relation": "at least"},
        ["quiet queen"],
        ["queen"],
    ),
    (
        "language:response_language",
        {"language": "de"},
        ["Das ist der Anfang und nicht das Ende.", "12345"],
        ["This is the beginning of the end."],
    ),
    (
        "length_constraints:number_sentences",
        {"num_sentences": 3, "relation": "at least"},
        ["One. Two! Three?", "Dr. A. Smith came. He saw. It was 3.5 m long."],
        ["One. Two", "Dr. A. Smith came at 5 p.m. yesterday."],
    ),
    (
        "length_constraints:number_paragraphs",
        {"num_paragraphs": 2},
        ["One\n***\nTwo", "***\nOne\n\n***\nTwo\n***"],
        ["One", "One\n***\n***\nTwo", "One\n***\nTwo\n***\nThree"],
    ),
    (
        "length_constraints:number_words",
        {"num_words": 4, "relation": "less than"},
        ["one two three"],
        ["I don't know"],  # don and t are two
    ),
    (
        "length_constraints:nth_paragraph_first_word",
        {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "President"},
        ["One.\n\npresident, he said", 'One\n\n"President\'s men"'],
        ["One.\n\nThe president", "president", "One\n\nPresident\n\nThree"],
    ),
    (
        "detectable_content:number_placeholders",
        {"num_placeholders": 2},
        ["Dear [name], from [address]"],
        ["Dear [name]"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.S."},
        ["Bye.\nP.S. Write soon", "p. s. so"],
        ["Bye. PS write"],
    ),
    (
        "detectable_content:postscript",
        {"postscript_marker": "P.P.S"},
        ["P.P.S I forgot", "p. p. s. so"],
        ["P.S. I forgot"],
    ),
    (
        "detectable_format:number_bullet_lists",
        {"num_bullets": 2},
        ["* one\n* two", "- one\n  * two\nthe end"],
        ["* one", "* one\n- two\n* three", "**bold**\n* one"],
    ),
    (
        "detectable_format:constrained_response",
        {},
        ["My answer is maybe.", "Well: My answer is no. Sorry"],
        ["Maybe."],
    ),
    (
        "detectable_format:number_highlighted_sections",
        {"num_highlights": 2},
        ["*one* and *two*", "**one** and *two*"],
        ["*one* and two", "** ** and *one*"],
    ),
    (
        "detectable_format:multiple_sections",
        {"section_spliter": "SECTION", "num_sections": 2},
        ["SECTION 1\nx\nSECTION 2\ny"],
        ["SECTION 1\nx", "Section 1 x Section 2 y"],
    ),
    (
        "detectable_format:json_format",
        {},
        ['{"a": [1, 2]}', '```json\n{"a": 1}\n```', "```\n[]\n```"],
        ["a: 1", '{"a": 1} is it', "[" * 100_000],
    ),
    ("detectable_format:title", {}, ["<<poem of joy>>\nso"], ["<poem>", "<< >>", "<<a\nb>>"]),
    (
        "combination:two_responses",
        {},
        ["One\n******\nTwo", "******One******Two******"],
        ["One", "One******One", "One******Two******Three", "One************Two"],
    ),
    (
        "combination:repeat_prompt",
        {"prompt_to_repeat": "What is it?"},
        ["what is it? It is so."],
        ["It is so. What is it?"],
    ),
    (
        "startend:end_checker",
        {"end_phrase": "Any other questions?"},
        ["So. Any other questions?", '"So. ANY OTHER QUESTIONS?"'],
        ["Any other questions? No."],
    ),
    ("startend:quotation", {}, ['"So it is."', ' "a" '], ['"So" it is', '"', "so"]),
    (
        "change_case:capital_word_frequency",
        {"capital_frequency": 2, "capital_relation": "at least"},
        ["NASA and the WELL-KNOWN ESA"],
        ["NASA and 2024 Well"],
    ),
    (
        "change_case:english_capital",
        {},
        ["THIS IS THE WAY THAT IT IS."],
        ["THIS IS the WAY", "DAS IST NICHT DER WEG UND DAS IST SO"],
    ),
    (
        "change_case:english_lowercase",
        {},
        ["this is the way that it is."],
        ["This is the way", "das ist nicht der weg und das ist so"],
    ),
    ("punctuation:no_comma", {}, ["one; two"], ["one, two"]),
]


def test_all_25_have_a_case():
    assert len(INSTRUCTIONS) == 25
    assert {case[0] for case in CASES} == set(INSTRUCTIONS)


@pytest.mark.parametrize(("instruction", "settings", "good", "bad"), CASES)
def test_a_check(instruction, settings, good, bad):
    require_instruction(instruction, settings, "input_data.jsonl:1")
    whole = {"frequency": None, "language": None} | settings  # rows have the others' fields, empty
    assert [
        each for each in good if not follows(instruction, each, whole if settings else {})
    ] == []
    assert [each for each in bad if follows(instruction, each, settings)] == []
    assert not follows(instruction, "  \n", settings)


def test_the_eight_loose_forms():
    assert loose_forms("Sure!\n*One*\nBye") == [
        "Sure!\n*One*\nBye",
        "*One*\nBye",
        "Sure!\n*One*",
        "*One*",
        "Sure!\nOne\nBye",
        "One\nBye",
        "Sure!\nOne",
        "One",
    ]


def test_a_row_without_what_its_instruction_needs():
    with pytest.raises(DataError, match=r"x.jsonl:3: there is no instruction 'keyword:exist"):
        require_instruction("keyword:existence", {}, "x.jsonl:3")
    message = r"x.jsonl:3: keywords:frequency needs frequency, relation in its kwargs"
    with pytest.raises(DataError, match=message):
        require_instruction("keywords:frequency", {"keyword": "a", "frequency": None}, "x.jsonl:3")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The weather is nice today, and we are going to the beach.", "en"),
        ("El tiempo es bueno hoy y vamos a la playa con los niños.", "es"),
        ("O tempo está bom hoje e não vamos para a praia com uma criança.", "pt"),
        ("Le temps est beau et nous allons à la plage avec les enfants.", "fr"),
        ("Das Wetter ist heute schön, und wir gehen mit den Kindern an den Strand.", "de"),
        ("Il tempo è bello oggi e andiamo al mare con i bambini della scuola.", "it"),
        ("Pogoda jest dziś ładna i idziemy na plażę z dziećmi.", "pl"),
        ("Hôm nay thời tiết đẹp và chúng tôi đi biển.", "vi"),
        ("Hali ya hewa ni nzuri leo na tunaenda pwani kwa watoto.", "sw"),
        ("Tänään on kaunis ilma, ja me menemme rannalle, mutta se ei ole lähellä.", "fi"),
        ("Сегодня хорошая погода, и мы идём на пляж с детьми, но это не близко.", "ru"),
        ("Сьогодні гарна погода, і ми йдемо на пляж з дітьми.", "uk"),
        ("Днес времето е хубаво и отиваме на плажа, за да се къпем.", "bg"),
        ("الطقس جميل اليوم ونحن ذاهبون إلى الشاطئ مع الأطفال في المدينة.", "ar"),
        ("هوا امروز خوب است و ما با بچه ها به ساحل می رویم که این زیباست.", "fa"),
        ("آج موسم اچھا ہے اور ہم بچوں کے ساتھ ساحل پر جا رہے ہیں۔", "ur"),
        ("आज मौसम अच्छा है और हम बच्चों के साथ समुद्र तट पर जा रहे हैं।", "hi"),
        ("आज हवामान चांगले आहे आणि आम्ही मुलांसोबत समुद्रकिनारी जात आहोत.", "mr"),
        ("आज मौसम राम्रो छ र हामी केटाकेटीहरू लाई लिएर समुद्र किनारमा जाँदै छौं।", "ne"),
        ("今天天气很好，我们去海边。", "zh"),
        ("今日は天気がいいので、海に行きます。", "ja"),
        ("오늘은 날씨가 좋아서 바다에 갑니다.", "ko"),
        ("วันนี้อากาศดี เราไปทะเลกัน", "th"),
        ("আজ আবহাওয়া ভালো", "bn"),
        ("இன்று வானிலை நன்றாக உள்ளது", "ta"),
        ("ఈ రోజు వాతావరణం బాగుంది", "te"),
        ("ಇಂದು ಹವಾಮಾನ ಚೆನ್ನಾಗಿದೆ", "kn"),
        ("આજે હવામાન સારું છે", "gu"),
        ("ਅੱਜ ਮੌਸਮ ਚੰਗਾ ਹੈ", "pa"),
        ("ഇന്ന് കാലാവസ്ഥ നല്ലതാണ്", "ml"),
        ("היום מזג האוויר נעים", "he"),
        ("123 !?", None),
    ],
)
def test_languages(text, language):
    assert language_of(text) == language


def test_sentences():
    text = 'Mr. Smith paid $3.50 at 5 p.m. in the U.S. market. "Really?" he asked. Yes... So it is!'
    assert sentences_of(text) == [
        "Mr. Smith paid $3.50 at 5 p.m. in the U.S. market.",
        '"Really?"',
        "he asked.",
        "Yes...",
        "So it is!",
    ]
    assert sentences_of("今天下雨。我们不去了！真的？") == ["今天下雨。", "我们不去了！", "真的？"]
    assert sentences_of("So do I. He does not") == ["So do I.", "He does not"]
    assert sentences_of("Heading\n\nText goes on") == ["Heading\n\nText goes on"]
    assert sentences_of(" ... ") == []
