"""The words that the toolcall rows are made of: wordings, entities and number ranges.

`TRAIN` and `HELD_OUT` share no wording, no city, date, label, task, name or topic, and no number
(tests compare them). They share what a tool's arguments are made of: units and currencies.

In a wording, {braces} are slots. {on_date} is a date with its preposition ('on 3 May'),
{On_date} the same at the beginning of a sentence, {date} the bare date, which is the argument.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["CURRENCIES", "HELD_OUT", "REPLIES", "TRAIN", "UNITS", "UNIT_PAIRS", "Words"]

# argument -> how people write it
UNITS = {
    "mile": ("miles", "mi"),
    "kilometre": ("kilometres", "km", "kilometers"),
    "metre": ("metres", "meters"),
    "foot": ("feet", "ft"),
    "kilogram": ("kilograms", "kg", "kilos"),
    "pound": ("pounds", "lb"),
    "celsius": ("degrees Celsius", "Celsius"),
    "fahrenheit": ("degrees Fahrenheit", "Fahrenheit"),
    "litre": ("litres", "liters"),
    "gallon": ("gallons", "gal"),
}
UNIT_PAIRS = (
    ("mile", "kilometre"),
    ("foot", "metre"),
    ("pound", "kilogram"),
    ("fahrenheit", "celsius"),
    ("gallon", "litre"),
)
CURRENCIES = {
    "USD": ("dollars", "US dollars", "USD"),
    "EUR": ("euros", "EUR"),
    "JPY": ("yen", "JPY"),
    "CHF": ("Swiss francs", "CHF"),
    "INR": ("rupees", "INR"),
    "MXN": ("pesos", "MXN"),
}
# What needs no tool gets one of these sentences, by what it is.
REPLIES = {
    "greeting": "Hello! How can I help?",
    "thanks": "You are welcome!",
    "farewell": "Goodbye!",
    "other": "I have no tool for that.",
}


@dataclass(frozen=True, kw_only=True)
class Words:
    """What one split's rows are made of.

    Attributes:
        wordings: for each tool, its requests; for 'no_tool', see `plain`.
        plain: requests that need no tool, by the key of their reply in REPLIES.
        values: numbers to convert and amounts of money.
        minutes: numbers for timers.
        dates: the argument; `on_date` is formed from it.
    """

    wordings: Mapping[str, tuple[str, ...]]
    plain: Mapping[str, tuple[str, ...]]
    values: tuple[int, ...]
    minutes: tuple[int, ...]
    dates: tuple[str, ...]
    cities: tuple[str, ...]
    labels: tuple[str, ...]
    tasks: tuple[str, ...]
    names: tuple[str, ...]
    topics: tuple[str, ...]


def _each(listed: str) -> tuple[str, ...]:
    return tuple(listed.split(", "))


def _calendar(days: range, months: str) -> tuple[str, ...]:
    return tuple(f"{day} {month}" for month in _each(months) for day in days)


# Numbers: held out are 10 to 19, 45 to 59 and 300 to 499, wherever a number stands.
TRAIN = Words(
    wordings={
        "convert": (
            "Convert {value} {from_unit} to {to_unit}.",
            "How many {to_unit} are {value} {from_unit}?",
            "What is {value} {from_unit} in {to_unit}?",
            "{value} {from_unit} in {to_unit}, please.",
            "{value} {from_unit} to {to_unit}",
            "I have {value} {from_unit}. How much is that in {to_unit}?",
            "Please turn {value} {from_unit} into {to_unit}.",
            "Tell me how many {to_unit} make {value} {from_unit}.",
            "The label says {value} {from_unit}, but I need {to_unit}.",
            "Can you express {value} {from_unit} in {to_unit}?",
            "My book gives {value} {from_unit}; what is it in {to_unit}?",
            "How much is {value} {from_unit} when measured in {to_unit}?",
            "In {to_unit}, what would {value} {from_unit} be?",
            "Could you change {value} {from_unit} to {to_unit} for me?",
            "If something is {value} {from_unit}, how many {to_unit} is it?",
            "I know it is {value} {from_unit}. I want to know the {to_unit}.",
        ),
        "exchange": (
            "Exchange {value} {from_currency} for {to_currency}.",
            "How much is {value} {from_currency} in {to_currency}?",
            "What do I get in {to_currency} for {value} {from_currency}?",
            "I want to change {value} {from_currency} into {to_currency}.",
            "{value} {from_currency} to {to_currency}, please.",
            "The bill is {value} {from_currency}. What is that in {to_currency}?",
            "How many {to_currency} do I get for {value} {from_currency}?",
            "What are {value} {from_currency} worth in {to_currency}?",
            "I paid {value} {from_currency}, how much is that in {to_currency}?",
            "Please swap {value} {from_currency} for {to_currency}.",
            "The hotel costs {value} {from_currency}. Tell me the price in {to_currency}.",
            "Give me {to_currency} for {value} {from_currency}.",
            "A ticket for {value} {from_currency} costs how many {to_currency}?",
            "My wallet has {value} {from_currency}, I need {to_currency}.",
            "Convert {value} {from_currency} to {to_currency}.",
        ),
        "weather": (
            "What will the weather be like in {city} {on_date}?",
            "What is the weather in {city} {on_date}?",
            "Will it rain in {city} {on_date}?",
            "How warm will it be in {city} {on_date}?",
            "Do I need an umbrella in {city} {on_date}?",
            "Weather for {city}, {date}.",
            "{On_date} I fly to {city}. How is the weather there?",
            "Tell me the forecast for {city} {on_date}.",
            "Is it going to be sunny {on_date} in {city}?",
            "How is the weather looking {on_date} in {city}?",
            "I will be in {city} {on_date}. Should I expect rain?",
            "Check the weather in {city} for {date}.",
            "Does it snow in {city} {on_date}?",
            "I am visiting {city} {on_date}, how is the weather?",
            "{city}, {date}: what is the forecast?",
            "Give me the {city} weather for {date}.",
            "Should I bring a jacket to {city} {on_date}?",
            "What should I wear in {city} {on_date}?",
            "We leave for {city} {on_date}. Will it be nice?",
            "Could you say how stormy it is in {city} {on_date}?",
        ),
        "timer": (
            "Set a timer for {minutes} minutes.",
            "Start a {minutes} minute timer for the {label}.",
            "Set a {label} timer for {minutes} minutes.",
            "Count down {minutes} minutes for the {label}.",
            "The {label} needs {minutes} minutes, start the clock.",
            "Give me {minutes} minutes.",
            "Timer: {minutes} minutes for the {label}.",
            "Let me know when {minutes} minutes are over.",
            "The {label} takes {minutes} minutes. Tell me when it is done.",
            "I need a timer of {minutes} minutes for the {label}.",
            "Ring in {minutes} minutes, please.",
            "{minutes} minutes on the timer, please.",
            "Please time the {label} for {minutes} minutes.",
            "Start counting {minutes} minutes now.",
            "Beep in {minutes} minutes for the {label}.",
            "Can you start a timer for the {label}? It takes {minutes} minutes.",
            "Allow {minutes} minutes for the {label}.",
            "Keep {minutes} minutes for the {label}, please.",
            "Alert me after {minutes} minutes.",
            "Run a timer that stops after {minutes} minutes.",
            "Wait {minutes} minutes, then make a sound.",
            "The clock should run for {minutes} minutes.",
            "Stop the clock after {minutes} minutes.",
            "Time the {label}: {minutes} minutes.",
            "It is {minutes} minutes for the {label}, starting now.",
            "Call me when the {label} has had {minutes} minutes.",
            "The {label} will be ready in {minutes} minutes, keep the time.",
            "Plan {minutes} minutes for the {label} and count them.",
        ),
        "remind": (
            "Remind me to {task} {on_date}.",
            "Remind me {on_date} to {task}.",
            "Please remind me to {task} {on_date}.",
            "I must {task} {on_date}, please remind me.",
            "{On_date} I have to {task}. Remind me.",
            "Add a reminder to {task} {on_date}.",
            "Do not let me forget to {task} {on_date}.",
            "Set a reminder for {date}: {task}.",
            "Make sure I {task} {on_date}.",
            "Reminder: {task}, {date}.",
            "I want to {task} {on_date}. Do not let me forget.",
            "Note for {date}: {task}.",
            "Could you remind me that I should {task} {on_date}?",
            "I need to {task} {on_date}, add a reminder.",
            "Write down that I have to {task} {on_date}.",
            "Can I get a reminder to {task} {on_date}?",
            "{On_date} I plan to {task}, could you remind me?",
            "{On_date} I would like to {task}, please remind me.",
            "Remember that I must {task} {on_date}.",
        ),
    },
    plain={
        "greeting": (
            "Hello!",
            "Hi there!",
            "Good morning!",
            "Hey, {name} here.",
            "Hello, my name is {name}.",
            "Good evening, I am {name}.",
            "Hi, this is {name} speaking.",
        ),
        "thanks": (
            "Thanks!",
            "Thank you very much.",
            "Thanks a lot, that was useful.",
            "Many thanks from {name}!",
            "{name} says thank you.",
            "Thank you, that helped with {topic}.",
            "Great, thanks for the help!",
        ),
        "farewell": (
            "Bye!",
            "See you tomorrow.",
            "Good night, {name} is going to bed.",
            "Goodbye, {name} has to go.",
            "That was it, bye for now.",
        ),
        "other": (
            "Tell me a joke about {topic}.",
            "Who invented {topic}?",
            "Do you like {topic}?",
            "What do you think of {topic}?",
            "Explain {topic} in one sentence.",
            "Write a poem about {topic}.",
            "Why is {topic} so popular?",
            "What is your opinion on {topic}?",
            "Is {topic} better than {other_topic}?",
            "Recommend a book about {topic}.",
        ),
    },
    values=(*range(2, 10), *range(20, 45), *range(60, 300), *range(500, 1000)),
    minutes=(*range(2, 10), *range(20, 45), *range(60, 100)),
    dates=(
        *_each("today, tomorrow, Monday, Tuesday, Thursday, Saturday") * 8,
        *_calendar(range(1, 10), "January, March, April, July, September"),
        *_calendar(range(20, 29), "February, May, August, October"),
    ),
    # Many, so that a name is copied letter by letter and not looked up among a few.
    cities=_each(
        "Paris, London, Berlin, Madrid, Rome, Vienna, Dublin, Athens, Warsaw, Prague, "
        "Budapest, Helsinki, Stockholm, Moscow, Cairo, Nairobi, Lagos, Tokyo, Seoul, "
        "Beijing, Shanghai, Mumbai, Delhi, Sydney, Boston, Chicago, Denver, Seattle, "
        "Toronto, Havana, Santiago, Zurich, Munich, Milan, Valencia, Kyoto, Hanoi, Manila, "
        "New York, Los Angeles, Cape Town, Buenos Aires, Porto, Seville, Turin, Venice, "
        "Florence, Bologna, Palermo, Antwerp, Ghent, Lyon, Nice, Marseille, Bordeaux, "
        "Cologne, Frankfurt, Dresden, Leipzig, Salzburg, Basel, Bern, Rotterdam, Amsterdam, "
        "Bergen, Gothenburg, Riga, Tallinn, Vilnius, Krakow, Gdansk, Sofia, Bucharest, "
        "Belgrade, Zagreb, Ankara, Tunis, Casablanca, Accra, Lahore, Karachi, Chennai, "
        "Osaka, Nagoya, Busan, Taipei, Perth, Brisbane, Melbourne, Auckland, Dallas, Austin, "
        "Phoenix, Atlanta, Detroit, Portland, Montreal, Ottawa, Quito, Bogota, Caracas, "
        "La Paz, San Diego, Las Vegas, Hong Kong"
    ),
    labels=_each(
        "pasta, tea, laundry, bread, cake, soup, eggs, workout, meeting, oven, potatoes, "
        "chicken, coffee, homework, shower, presentation, salad, beans, washing, exam, "
        "apple pie, tomato sauce, phone call, piano lesson, pancakes, fish, walk, game, "
        "dentist call, bread dough"
    ),
    tasks=_each(
        "call Anna, call the bank, buy milk, buy a present for Tom, water the plants, "
        "pay the rent, pay the phone bill, send the report, send a card to Maria, "
        "book a table, book the flights, clean the kitchen, wash the car, feed the cat, "
        "return the books, renew my passport, take out the rubbish, pick up the parcel, "
        "pick up Sam from school, visit my aunt, finish the slides, write to the landlord, "
        "check the heating, order new glasses, print the tickets, charge the camera, "
        "write a note to Julia, give the keys to Peter, show the photos to Nina, "
        "order a cake for Oscar, paint the fence, cancel the meeting, buy some batteries"
    ),
    names=_each("Anna, Tom, Maria, Sam, Julia, Peter, Nina, Oscar, Lena, David"),
    topics=_each(
        "football, cheese, philosophy, gravity, jazz, coffee, chess, history, archaeology, "
        "poetry, geology, robotics, painting, democracy, physics, sailing"
    ),
)

HELD_OUT = Words(
    wordings={
        "convert": (
            "I have {value} {from_unit}, what is that in {to_unit}?",
            "Give me the number of {to_unit} in {value} {from_unit}.",
            "What does {value} {from_unit} come to in {to_unit}?",
            "We measured {value} {from_unit}. How many {to_unit} would that be?",
            "Please write {value} {from_unit} in {to_unit}.",
            "Can you convert {value} {from_unit} into {to_unit}?",
            "How many {to_unit} do I get from {value} {from_unit}?",
            "I need {value} {from_unit} in {to_unit}.",
        ),
        "exchange": (
            "What would {value} {from_currency} be in {to_currency}?",
            "Can I trade {value} {from_currency} for {to_currency}?",
            "The shop asks {value} {from_currency}, how many {to_currency} is that?",
            "Turn {value} {from_currency} into {to_currency} for my trip.",
            "I have {value} {from_currency} and want {to_currency}.",
            "Tell me what {value} {from_currency} are in {to_currency}.",
            "The train costs {value} {from_currency}. How much is it in {to_currency}?",
            "Please change my {value} {from_currency} to {to_currency}.",
        ),
        "weather": (
            "Is rain expected in {city} {on_date}?",
            "How cold will it get in {city} {on_date}?",
            "Will I need a coat in {city} {on_date}?",
            "I travel to {city} {on_date}. What weather should I pack for?",
            "Look up the forecast for {city} {on_date}.",
            "Can you tell me if it is windy in {city} {on_date}?",
            "How hot will {city} be {on_date}?",
            "{On_date} we go to {city}, will the sun shine?",
        ),
        "timer": (
            "Put {minutes} minutes on the clock.",
            "Begin a countdown of {minutes} minutes.",
            "Please set {minutes} minutes for the {label}.",
            "I want a timer that rings after {minutes} minutes.",
            "Tell me when {minutes} minutes have passed for the {label}.",
            "The {label} will take {minutes} minutes, set a timer.",
            "Start the timer for the {label}, {minutes} minutes.",
            "Could you time {minutes} minutes for the {label}?",
        ),
        "remind": (
            "Will you remind me to {task} {on_date}?",
            "Create a reminder for {date} to {task}.",
            "Help me remember to {task} {on_date}.",
            "I should {task} {on_date}, so remind me.",
            "New reminder: {task} {on_date}.",
            "Please make a note to {task} {on_date}.",
            "I have to {task} {on_date}, do not let me forget it.",
            "{On_date} I want to {task}, can you remind me?",
        ),
    },
    plain={
        "greeting": (
            "Hello, nice to meet you!",
            "Good afternoon!",
            "Hi, I am {name}.",
            "Hey, it is {name} again.",
        ),
        "thanks": (
            "Thank you, that is all!",
            "Thanks so much for your help.",
            "Thank you from {name}.",
        ),
        "farewell": ("Goodbye for today!", "Bye bye, {name} is leaving."),
        "other": (
            "What makes {topic} interesting?",
            "Can you tell me a story about {topic}?",
            "Where does {topic} come from?",
            "Do you think {topic} is fun?",
            "Describe {topic} for a child.",
        ),
    },
    values=(*range(10, 20), *range(45, 60), *range(300, 500)),
    minutes=(*range(10, 20), *range(45, 60)),
    dates=(
        *_each("next week, Wednesday, Friday, Sunday") * 4,
        *_calendar(range(10, 20), "June, November, December"),
    ),
    cities=_each(
        "Lisbon, Oslo, Copenhagen, Brussels, Istanbul, Singapore, Bangkok, Jakarta, Lima, "
        "Vancouver, Miami, Houston, Naples, Hamburg, Barcelona, Geneva, San Francisco, "
        "Mexico City"
    ),
    labels=_each(
        "pizza, rice, nap, interview, steak, cookies, lecture, dishes, yoga class, chocolate cake"
    ),
    tasks=_each(
        "call Robert, buy flowers, pay the electricity bill, send the contract, "
        "book a hotel, clean the garage, feed the dog, return the keys, pick up the suit, "
        "visit the dentist, fix the bike, write a letter to Emma, order printer paper, "
        "cancel the subscription"
    ),
    names=_each("Robert, Emma, Hugo, Clara, Victor"),
    topics=_each("opera, baseball, astronomy, tennis, chemistry, sculpture, gardening, cinema"),
)
