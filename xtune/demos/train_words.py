"""The words of the agent demo's trained rows: how requests are put, by tool and kind.

In a wording, {braces} are slots and [one|or another] is chosen; the tables: `Wordings`. None is in
held_out_words.py.
"""

from __future__ import annotations

from dataclasses import replace

from xtune.demos import toolcall_tables
from xtune.demos.wordings import Wordings, listed

__all__ = ["TRAIN"]

# More of them, so that a label is copied and not chosen
_LABELS = listed(
    "noodles, lentils, nail polish, face mask, parking, ironing, stew, muffins, plank, reading, "
    "speech, garlic bread, ice bath, vegetables, sauna, dough, paint, cupcakes, turkey, "
    "violin practice, waffles, roast, jogging, tooth brushing, board game, hair dye, quiz"
)
_PLAIN = toolcall_tables.TRAIN.plain
# That look like what search is for
_QUESTIONS = (
    "[Where|When|How] did {topic} begin?",
    "How old is {topic}?",
    "How does {topic} work?",
    "What is the [history|future|point] of {topic}?",
    "Who is good at {topic}?",
    "[Praise|Draw|Review] {topic} [in a few words|for beginners|for my mother].",
)

TRAIN = Wordings(
    calculator={
        "*": (
            "[What is|How much is|Calculate|Compute|Find] {a} times {b}[?|, please.]",
            "Multiply {a} by {b}.",
            "{a} * {b}",
            "[What is|Find|Tell me] the product of {a} and {b}.",
            "How much is {a} multiplied by {b}?",
            "[A|Each|Every] box holds {a} [eggs|apples|balls]. How many are in {b} boxes?",
            "What [do|will] {b} [pens|shirts|lamps] cost at {a} [cents|euros] each?",
            "A [hall|theatre] has {a} rows of {b} seats. How many seats [is that|are there]?",
            "[One|Each] brick weighs {a} grams. What is the weight of {b} bricks?",
            "[Each|Every one] of {b} people [pays|gives|earns] {a}. How much is it in all?",
            "{a} [bags|nets] with {b} [apples|onions] each: how many is that?",
            "{b} [lots|sets] of {a} make what?",
        ),
        "+": (
            "[What is|How much is|Calculate|Compute|Find] {a} plus {b}[?|, please.]",
            "Add {a} and {b}.",
            "{a} + {b}",
            "[What is|Find|Tell me] the sum of {a} and {b}.",
            "[I|She|We] had {a} [stamps|coins] and [got|bought] {b} more. How many are there now?",
            "One shelf has {a} [books|jars], the next has {b}. How many in all?",
            "I [walk|drive] {a} [steps|metres] and then {b}. What is the total?",
            "Increase {a} by {b}.",
            "The first [class|bus] has {a} people, the second {b}. Both of them make how many?",
            "{a} and {b} make what?",
        ),
        "-": (
            "[What is|How much is|Calculate|Compute|Find] {a} minus {b}[?|, please.]",
            "Subtract {b} from {a}.",
            "{a} - {b}",
            "[Take|Remove] {b} [away |]from {a}.",
            "Of {a} [tickets|cakes] {b} are sold. How many are left?",
            "I [earn|get|win] {a} and [spend|lose|pay] {b}. What is left?",
            "[How much|By how much] is {a} [more|larger|higher] than {b}?",
            "From {a} seats {b} are taken. How many are free?",
            "There were {a} [birds|guests] and {b} [left|went away]. How many stay?",
            "{b} is how much [less|smaller] than {a}?",
            "What must I add to {b} to [get|reach|make] {a}?",
        ),
        "/": (
            "[What is|How much is|Calculate|Compute|Find] {a} divided by {b}[?|, please.]",
            "Divide {a} by {b}.",
            "{a} / {b}",
            "[Share|Split] {a} [apples|cards|euros] [among|between] {b} [people|friends].",
            "How often does {b} go into {a}?",
            "{b} [friends|guests] [pay|share] a bill of {a}. How much is it for [each|one]?",
            "Cut a [rope|board] of {a} metres into {b} [parts|pieces]. How long is [each|one]?",
            "How many [groups|teams|rows] of {b} are in {a}?",
            "When {a} [cards|nuts] are dealt to {b} players, how many does [each|one] have?",
            "{a} [pages|miles] in {b} days: how many a day?",
        ),
    },
    convert=toolcall_tables.TRAIN.wordings["convert"],
    date={
        "weekday": (
            "[What|Which] [weekday|day of the week] [is|was] {day}?",
            "[Tell me|Say|Give me] the weekday of {day}.",
            "[Tell me|Say|Check] which weekday {day} [is|was].",
            "On what day [does|did] {day} fall?",
            "{day}: [which|what] weekday?",
            "I was born on {day}. What day of the week was that?",
            "Was {day} a [Tuesday|Sunday|Friday]? Say which weekday.",
        ),
        "after": (
            "[What|Which] date is {n} days [after|later than] {day}?",
            "Add {n} days to {day}.",
            "[Suppose|Say] [today is|it is] {day}. [What|Which] date is it {n} days later?",
            "[If|When] [today|now] is {day}, [what|which] date is it [in {n} days|{n} days later]?",
            "[Count|Go|Move] {n} days forward from {day}.",
            "{n} days [after|later than] {day} is [what|which] date?",
            "{day} [+|and] {n} days[|: which date?| is what?]",
            "I [order|start] on {day} and [wait|need] {n} days. When [does it end|is it over]?",
            "The [pass|offer|course] of {day} [lasts|is good for] {n} days. When does it end?",
            "I [want to|should] [come|pay|leave] {n} days after {day}; [when|which date] is that?",
            "The [exam|party] is on {day}. I [rest|call] {n} days [after|later]; when is that?",
        ),
        "before": (
            "[What|Which] date is {n} days [before|earlier than] {day}?",
            "[Subtract|Take] {n} days from {day}.",
            "[Count|Go|Move] {n} days back from {day}.",
            "{n} days [before|earlier than] {day} is [what|which] date?",
            "{day} [-|less] {n} days[|: which date?| is what?]",
            "I [must|have to] [call|come|pay] {n} days before {day}. [When|On which date] is that?",
            "I [want to|should] [come|pay|leave] {n} days before {day}; [when|which date] is that?",
            "The [exam|party] is on {day}. I [pack|call] {n} days [before|earlier]; when is that?",
        ),
        "ago": (
            "[Suppose|Say] [today is|it is] {day}. [What|Which] date was {n} days [ago|back]?",
            "[If|When] [today|now] is {day}, [what|which] date was it {n} days [ago|earlier]?",
            "I [arrived|wrote|paid] {n} days ago, and [today is|it is] {day}. When was that?",
            "The [pass|offer|course] of {day} began {n} days [ago|earlier]. When did it begin?",
            "{n} days ago, when today is {day}, was [what|which] date?",
        ),
    },
    timer=(
        *toolcall_tables.TRAIN.wordings["timer"],
        "[Start|Set|Run|Make] a {minutes} minute [timer|countdown].",
        "[Ring|Beep|Call me|Alert me] [in|after] {minutes} minutes.",
        "I [want|need] [an alarm|a bell] that [goes off|sounds] after {minutes} minutes.",
        "I [need|would like] a timer that [beeps|stops] [in|after] {minutes} minutes.",
        "[Let|Make] the [clock|timer] run for {minutes} minutes.",
        "{minutes} minutes on the [clock|timer|stopwatch][|, please].",
        "[Set|Start] the clock[: | with ]{minutes} minutes.",
        "[Start|Run|Make] a countdown[: | with ]{minutes} minutes.",
        "I [want|need] a [clock|countdown|timer] that [ends|beeps] after {minutes} minutes.",
        "Turn on a timer for {minutes} minutes.",
        "[Time|Count] {minutes} minutes, please.",
        "{minutes} minutes for the {label}[|, please].",
        "[Start|Count|Keep|Run] {minutes} minutes for [the|my] {label}[|, please].",
        "[Could|Would|Will] you [start|keep|count] {minutes} minutes for [the|my] {label}?",
        "[Could|Would|Can] you set a [timer|countdown] of {minutes} minutes for the {label}?",
        "[Start|Set|Run|Make] a {minutes} minute [timer|countdown] for [the|my] {label}.",
        "[Ring|Beep|Call me|Alert me] in {minutes} minutes for [the|my] {label}.",
        "[My|The] {label} [needs|wants] {minutes} minutes[, set the clock|. Start a timer].",
        "[Start|Set] the clock for the {label}[: | with ]{minutes} minutes.",
    ),
    search={
        "height": (
            "[How tall|How high] is {name}?",
            "[What is|Tell me|Find|Search for|Get|Check] the height of {name}.",
            "[Tell me|Find out|Can you say|Would you know|I wonder] how [tall|high] {name} is.",
            "How many metres tall is {name}?",
            "{name}: how [tall|high] is it?",
        ),
        "year": (
            "[When|In which year] was {name} finished?",
            "[What is|Tell me|Find|Search for|Get|Check] the year of {name}.",
            "[Tell me|Find out|Can you say|Would you know|I wonder] when {name} was finished.",
            "Since when does {name} stand?",
            "{name}: from [what|which] year is it?",
        ),
        "designer": (
            "[Who designed|Who is the architect of] {name}?",
            "[Who is|Tell me|Find|Search for|Get|Check] the designer of {name}.",
            "[Tell me|Find out|Can you say|Would you know|I wonder] who designed {name}.",
            "Whose design is {name}?",
            "{name}: [by whom was it designed|who designed it]?",
        ),
        "place": (
            "[Where does {name} stand|Where can I find {name}]?",
            "[What is|Tell me|Find|Search for|Get|Check] the place of {name}.",
            "[Tell me|Find out|Can you say|Would you know|I wonder] where {name} stands.",
            "In [which|what] [place|town] is {name}?",
            "{name}: [in what place is it|where is it]?",
        ),
        "colour": (
            "[What|Which] colour [is|has] {name}?",
            "[What is|Tell me|Find|Search for|Get|Check] the colour of {name}.",
            "[Tell me|Find out|Can you say|Would you know|I wonder] what colour {name} is.",
            "[How|In what colour] is {name} painted?",
            "{name}: [what is its colour|what colour is it]?",
        ),
    },
    error={
        "convert": (
            "Convert {value} {from_unit} to {to_unit}.",
            "How many {to_unit} are {value} {from_unit}?",
            "What is {value} {from_unit} in {to_unit}?",
            "[Please turn|Change|Put] {value} {from_unit} into {to_unit}.",
            "I [have|want] {value} {from_unit} [as|in] {to_unit}.",
        ),
        "calculator": (
            "[What is|How much is|Calculate] {a} divided by 0[?|, please.]",
            "Divide {a} by zero.",
            "{a} / 0",
            "Share {a} [apples|cards] [among|between] 0 people.",
        ),
        "timer": (
            "[Set|Start] a timer for {minutes} minutes.",
            "Count down {minutes} minutes.",
            "Timer: {minutes} minutes.",
            "Start a {minutes} minute timer.",
        ),
        "search": (
            "[How tall|How high] is {name}?",
            "[Who designed|Who is the architect of] {name}?",
            "[Where does {name} stand|Where can I find {name}]?",
            "[When|In which year] was {name} finished?",
            "[What is|Tell me|Find|Search for|Get|Check] the colour of {name}.",
        ),
    },
    repair={
        "date": (
            "[What|Which] [weekday|day of the week] [is|was] {said}?",
            "[Tell me|Say|Give me] the weekday of {said}.",
            "[Tell me|Say|Check] which weekday {said} [is|was].",
        ),
        "calculator": (
            "[What is|How much is] {a} x {b}?",
            "[Calculate|Compute] {a} x {b}.",
            "{a} x {b}[|, please]",
        ),
    },
    nested={
        "search convert": (
            "[How tall|How high] is {name} in {to_unit}?",
            "What is the height of {name} in {to_unit}?",
            "Give me the height of {name}, in {to_unit} please.",
            "I need the height of {name} as {to_unit}.",
            "How many {to_unit} high is {name}?",
            "In {to_unit}, [how tall|how high] is {name}?",
            "[Find|Get|Check] the height of {name} and [convert|change] it to {to_unit}.",
            "[Search for|Find] the height of {name}; [I want|say] it in {to_unit}.",
            "[Tell me|Find out|Can you say|Would you know|I wonder] how many {to_unit} "
            "[tall|high] {name} is.",
            "[Find out|Check] how [tall|high] {name} is and [write|put] it in {to_unit}.",
            "Tell me the height of {name}, but not in metres: in {to_unit}.",
            "{name}: its height in {to_unit}?",
        ),
        "search calculator": (
            "How tall are {b} of {name} on top of each other?",
            "[What is|Tell me|I need] {b} times the height of {name}.",
            "Multiply the height of {name} by {b}.",
            "[Find|Get|Check|Take] the height of {name} and take it {b} times.",
            "If {name} were {b} times [higher|taller], how [high|tall] would it be?",
            "What height do {b} [copies|towers] of {name} have together?",
            "[Stack|Put up] {b} of {name}. What is the total height?",
            "A new tower is {b} times as high as {name}. How high is it?",
            "Search how tall {name} is, then calculate {b} times that.",
            "Picture a wall {b} times as tall as {name}. What is its height?",
            "{b} times the height of {name} is what?",
            "[What is|How high is] something {b} times as tall as {name}?",
            "{b} copies of {name}, each on top of the last: what height?",
        ),
        "calculator convert": (
            "[Convert|Change] {a} times {b} {from_unit} to {to_unit}.",
            "What is {a} times {b} {from_unit} in {to_unit}?",
            "I have {a} [boxes|sacks|ropes] of {b} {from_unit} each. How many {to_unit} is that?",
            "Multiply {a} by {b}, and convert that many {from_unit} to {to_unit}.",
            "Calculate {a} times {b} {from_unit} and [say|write] it in {to_unit}.",
            "{a} times {b} {from_unit}: how many {to_unit}?",
            "Each of {a} days I use {b} {from_unit}. Give me the sum in {to_unit}.",
            "We bought {a} packs with {b} {from_unit} in each. What is the whole in {to_unit}?",
            "How many {to_unit} are {a} times {b} {from_unit}?",
            "I have {a} [lines|cases], each of {b} {from_unit}; tell me all of it in {to_unit}.",
            "What do {a} lots of {b} {from_unit} come to when given in {to_unit}?",
            "A shop has {a} crates, {b} {from_unit} in every one. I need that in {to_unit}.",
        ),
        "calculator timer": (
            "[Set|Start] a timer for {a} times {b} minutes.",
            "Start a timer: {a} rounds of {b} minutes each.",
            "I bake {a} trays, {b} minutes each. Set a timer for all of them.",
            "Multiply {a} by {b} and count down that many minutes.",
            "Calculate {a} times {b} and set a timer to that many minutes.",
            "{a} times {b} minutes on the timer, please.",
            "The game has {a} [rounds|turns] of {b} minutes. Set a timer for the whole game.",
            "I read {a} chapters, {b} minutes each. Count down the total.",
            "Ring after {a} times {b} minutes.",
            "Every one of {a} songs takes {b} minutes. Start a timer for all of them.",
            "[Run|Start] the [timer|clock] for {a} [blocks|swims] of {b} minutes each.",
            "{a} turns of {b} minutes each, all on one timer.",
            "[Time|Count] {a} [rounds|sets] of {b} minutes each.",
        ),
    },
    joins=(
        "{first} {second}",
        "{first} [And also|After that|Another thing|Next]: {second}",
        "[Two things|Please do both|I want two things|Here are two]. {first} {second}",
        "{first} Besides, {second}",
        "[First|One]: {first} [Second|Two]: {second}",
    ),
    words=replace(
        toolcall_tables.TRAIN,
        labels=(*toolcall_tables.TRAIN.labels, *_LABELS),
        plain={**_PLAIN, "other": (*_PLAIN["other"], *_QUESTIONS)},
    ),
    openings=(*[""] * 8, "Please: ", "Hi! ", "Quick question. ", "Hello. ", "Hey, ", "So, "),
    requests=(1, 2, 3),
    unknown=listed(
        "Plumora, Sestik, Vandolo, Crimble, Otterix, Yalmund, Dosper, Kriffa, Wendalo, Bruxley, "
        "Tomarin, Jespa, Ilvorn, Gassaby, Nurzel, Hodrick, Fanzia, Lumbart, Prisco, Zendry"
    ),
    kinds=listed(
        "single, nested, single, parallel, single, no_tool, single, nested, parallel, error"
    ),
    # What is not said in so many words takes most rows: signs, labels, operators
    tools=listed("calculator, date, timer, calculator, date, timer, convert, search"),
)
