"""A reader of pocket-world texts that shares nothing with their writer: what follows from a text, by rules of its own.

Each `read_…` takes a text cut off anywhere, with or without chat tags, and says what a careful person knows by then.
"""

import re

NUMBER = r"\d+"

# --- problems ---------------------------------------------------------------------------------------------------------

# Read in this order; the first phrase found in a sentence decides. What a phrase means can hang on who does it to whom.
PHRASES = (
    (
        "+",
        r"(gives|hands|lends|asks|earns|sends|teaches|knits) (him|her)\b|\bfrom \w+ (he|she) gets\b|\b(he|she) takes\b",
    ),
    ("-", r"\b(he|she) (delivers|finishes|gives|drops|hands over|lends|trades|throws)\b|\btakes out\b|\bblows out\b"),
    ("-", r"\bcustomer buys\b|\buncle takes\b|\bcome and collect\b|\bcosts (him|her)\b"),
    ("+", r"\bare left\b|\bfrom .* comes? \d|\bfalls ill, so \w+ gets\b|\b(he|she) is given\b|\bpicks up\b"),
    ("-", r"\b(rotten|torn|lost|broken|loose|ruined|blurred|rusty|sick)\b|\bat home\b"),
    ("-", r"\b(get|drive|fly|carries|drops) off\b|\b(run|move|roll) away\b|\b(set|go|check) out\b"),
    ("-", r"\b(sells|eats?|borrows|lets|steals|cuts|breaks?|spends|burst|leaves?|unhooks|uses|orders|reads|loses)\b"),
    ("-", r"\b(draws|leak|fall|scares|tows|sink|needs|adopt|removes|melt|of them crack|packs|forgets|destroys)\b"),
    ("-", r"\b(deletes|shares|ruins|knocks down|travel home)\b"),
    ("+", r"\b(finds(?! that)|puts|delivers|born|buys|bakes|adds|returns?|catches|passes|brings?|receives|opens?)\b"),
    ("+", r"\b(plants|wins|blows up|attach|join|collects|another|pours|arrives?|guests park|land|sail in|fetches)\b"),
    ("+", r"\b(gets|lays|makes|earns|rolls|shapes|finishes|learns|come up|gains|lights|lit|check in|discovers)\b"),
    ("+", r"\b(sets out|get on|climb)\b"),
)


def sentences(text: str) -> list[str]:
    text = re.sub(r"<\|\w+\|>", " ", text)
    return [part.strip() for part in re.split(r'(?<=[.!])"?\s', text) if part.strip()]


def read_quantities(text: str) -> list[int]:
    """The quantity at the start and after each step that the story has settled."""
    first, *rest = sentences(text)
    start = re.search(NUMBER, first)
    if not start:
        return []
    quantities = [int(start[0])]
    for sentence in rest:
        after = _apply(sentence, quantities[-1])
        if after is None:
            break
        quantities.append(after)
    return quantities


def _apply(sentence: str, quantity: int) -> int | None:
    if re.search(r"\b(twice|doubles)\b", sentence):
        return quantity * 2
    if re.search(r"\bthree times\b", sentence):
        return quantity * 3
    if re.search(r"\bhalf\b", sentence):
        return quantity // 2
    number = re.search(NUMBER, sentence)
    if not number:
        return None
    sign = next((sign for sign, phrase in PHRASES if re.search(phrase, sentence, re.IGNORECASE)), None)
    if sign is None:
        return None
    return quantity + int(number[0]) if sign == "+" else quantity - int(number[0])


# --- places -----------------------------------------------------------------------------------------------------------

PLACE = r"\bthe (kitchen|garden|attic|cellar|library|barn|garage|museum|park|bakery|tower|office)\b"
THING = r"\bthe (ball|key|lamp|hat|cup|letter|rope|basket|clock|drum|book|flute)\b"
TAKES = r"\b(picks up|took|grabs|loads up|hides|lifts|packs|finds|carries off) the \w+"


def read_moves(text: str, people: frozenset[str]) -> list[tuple[str, str]]:
    """Who or what has come to be where, in the order of the text. Of names, only who bears one is taken as given."""
    where: dict[str, str] = {}
    carries: dict[str, str] = {}
    moves = []
    for sentence in sentences(text):
        named = [word for word in re.findall(r"[A-Z][a-z]+", sentence) if word in people]
        place = re.search(PLACE, sentence)
        if "picture of" in sentence and not sentence.rstrip(".").endswith("in it"):
            continue
        if not named:
            continue
        if re.search(TAKES, sentence):
            thing = re.search(THING, sentence)
            if thing and named[0] in where:
                carries[named[0]] = thing[1]
                moves.append((thing[1], where[named[0]]))
            continue
        if len(named) == 2:
            mover, other = reversed(named) if sentence.startswith("Where") else named
            goal = where[other]
        elif place:
            mover, goal = named[0], place[1]
        else:
            continue
        for entity in [mover, carries.get(mover)]:
            if entity:
                where[entity] = goal
                moves.append((entity, goal))
    return moves


def read_asked(text: str, people: frozenset[str]) -> str | None:
    """The place that a text breaking off within its last question asks for: that of whoever this names."""
    where = dict(read_moves(text, people))
    named = [entity for entity in re.findall(r"\w+", sentences(text)[-1]) if entity in where]
    return where[named[-1]] if named else None


# --- couplets ---------------------------------------------------------------------------------------------------------

# Endings as spelled, the first that fits a word decides.
ENDINGS = (
    ("-oat", "oat|ote"),
    ("-at", "at"),
    ("-ake", "ake"),
    ("-ail", "ail|ale"),
    ("-ain", "ain|ane"),
    ("-air", "air|pear|bear|are"),
    ("-all", "all|awl"),
    ("-een", "een|bean|chine|ourine"),
    ("-an", "an"),
    ("-ap", "ap"),
    ("-ar", "ar"),
    ("-ate", "ate"),
    ("-ed", "bed|sled|shed|head|thread"),
    ("-eed", "eed|ead"),
    ("-eel", "eel|eal"),
    ("-ell", "ell"),
    ("-en", "en"),
    ("-est", "est"),
    ("-et", "et"),
    ("-ight", "ight|ite"),
    ("-ine", "ine|ign"),
    ("-ing", "ing"),
    ("-ip", "ip"),
    ("-ock", "ock"),
    ("-og", "og"),
    ("-one", "one"),
    ("-ook", "ook"),
    ("-ool", "ool|ule"),
    ("-oon", "oon|une"),
    ("-oot", "oot|uit|ute"),
    ("-ub", "ub"),
    ("-ug", "ug"),
    ("-unk", "unk|onk"),
    ("-um", "um|umb"),
    ("-un", "un"),
    ("-oo", "oo|oe|ew"),
    ("-ee", "ee|ey|ea"),
    ("-y", "y|ie"),
)


def rhyme_of(word: str) -> str | None:
    return next((name for name, ending in ENDINGS if re.search(rf"({ending})$", word)), None)


def read_rhyme(text: str) -> str | None:
    """How the first line of the verse ends; the line above the verse tells who says it."""
    lines = text.split("\n")
    line = re.findall(r"[a-z]+", lines[1]) if len(lines) > 1 else []
    return rhyme_of(line[-1]) if line else None


# --- speakers ---------------------------------------------------------------------------------------------------------

SIGNS = {
    "vegetarian": r"eaten meat|only the salad|chicken stock|passed it on|"
    r"like all animals|made of beans|eat a lamb|butcher's shop",
    "nurse": r"injections|my ward was full|bandages|the sick|held my hand|ward six|hospital bed|pills at six",
    "toddler": r"first steps|nappies|little \w+(?= calls)|little Mia|ten words|wooden blocks|carrots|pram|almost two",
    "afraid of flying": r"plane take off|board a plane|went home|planes scare me|"
    r"hate most|cabin doors close|as always|into the air",
    "learning English": r"not so good|dictionary|past tense|excuse mistakes|"
    r"came here in May|words on cards|radio yet|grammar",
    "farm": r"cows woke me|hay|tractor broke down|have to milk|nearly ripe|henhouse|calf|fields and pigs",
    "left-handed": r"hand I use|good for nothing|as I write|turned the other way|"
    r"strings the other way|use the right|the other side|wrong side",
    "student": r"exams start|lecture|the professor|campus|university|longer thesis|seminars|second term",
    "blind": r"dog guides|fingertips|white cane|see nothing|lost my sight|seen a colour|dark for me|raised dots",
    "runner": r"twenty miles|marathon|trainers|ten kilometres|big race|lap the park|finish line|stopwatch",
    "musician": r"new strings|orchestra|scales|encores|at my row|cello|trumpet|my solo",
    "allergic to cats": r"makes me sneeze|tomcat|purrs|cannot breathe|two cats|meow|make me cough|if a cat",
}


def read_traits(text: str) -> list[tuple[str, str]]:
    """Each sign of a trait in what the user says, in the order of the text: (trait, sign)."""
    said = " ".join(re.findall(r"<\|user\|>(.*?)(?:<\|end\|>|$)", text, re.DOTALL))
    found = [
        (m.start(), trait, m[0]) for trait, signs in SIGNS.items() for m in re.finditer(signs, said, re.IGNORECASE)
    ]
    return [(trait, sign) for _, trait, sign in sorted(found)]


# --- rules ------------------------------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    return text.split()


ALPHABETS = {
    "letter": list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "day": words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "month": words("January February March April May June July August September October November December"),
}
PLAIN_WORDS = (
    words("red blue green yellow black white pink brown purple orange"),
    words("apple pear plum peach lemon fig cherry melon grape lime"),
    words("ball doll kite drum puzzle robot top train bear boat"),
    words("circle square star heart cross moon arrow ring dot cube"),
)


def read_items(text: str) -> list[str]:
    """The items of the sequence at the end of the text."""
    run = re.search(r"\w+(?:, \w+)*$", text)
    items = run[0].split(", ") if run else []
    if not items:
        return []
    vocabularies = [*ALPHABETS.values(), *PLAIN_WORDS]
    same = next((known for known in vocabularies if items[-1] in known), None)
    fits = str.isdigit if items[-1].isdigit() else lambda item: same is not None and item in same
    first = len(items)
    while first and fits(items[first - 1]):
        first -= 1
    return items[first:]


def continuations(items: list[str]) -> set[tuple[str, str]]:
    """(kind of rule, next item) for every rule of the world that gives these items so far."""
    found = set()
    for kind, make in _rules_for(items[0]):
        row = make(items, len(items) + 1)
        if row[:-1] == items:
            found.add((kind, row[-1]))
    return found


def _rules_for(first: str) -> list:
    rules: list = []
    for step in range(2, 11) if first.isdigit() else ():
        rules.append(("count up", lambda x, n, k=step: [str(int(x[0]) + k * i) for i in range(n)]))
        rules.append(("count down", lambda x, n, k=step: [str(int(x[0]) - k * i) for i in range(n)]))
    if first.isdigit():
        rules.append(("double", lambda x, n: [str(int(x[0]) * 2**i) for i in range(n)]))
        rules.append(("halve", lambda x, n: [f"{int(x[0]) / 2**i:g}" for i in range(n)]))
    for alphabet in (a for a in ALPHABETS.values() if first in a):
        for kind, sign in (("move forward", 1), ("move back", -1)):
            for step in (sign, 2 * sign):
                rules.append(
                    (kind, lambda x, n, k=step, a=alphabet: [a[(a.index(x[0]) + k * i) % len(a)] for i in range(n)])
                )
    if first.isdigit() or any(first in known for known in PLAIN_WORDS):
        rules.append(("alternate", lambda x, n: _cycle(x, 2, n)))
    if any(first in known for known in PLAIN_WORDS):
        rules.append(("repeat three", lambda x, n: _cycle(x, 3, n)))
    return rules


def _cycle(items: list[str], period: int, n: int) -> list[str]:
    """The first `period` items over and over; an item not yet seen stands for something else than all seen so far."""
    start = [*items[:period], *(f"unseen {i}" for i in range(len(items), period))]
    if len(set(start)) < period:
        return ["no such rule"] * n
    return [start[i % period] for i in range(n)]
