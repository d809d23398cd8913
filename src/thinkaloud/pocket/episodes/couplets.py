"""Rhyming couplets; the fact is the rhyme that the second line has to reach.

Fact: `rhyme` (the name of the rhyme class, settled by the last word of the first line; at `stated_at` stands one of
`rhyme_words(value)`, the last word of the second line). Held-out combinations are pairs of rhyme words in either order.
"""

from dataclasses import dataclass
from itertools import permutations

from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact, is_held_out, pick_wording, words
from thinkaloud.pocket.episodes.people import NAMES, pronouns

# Nouns that start with a consonant sound, so that "a" fits each, and that rhyme in British and American speech.
_CLASSES = {
    "-at": "cat hat bat mat rat",
    "-ake": "cake lake snake rake flake",
    "-ail": "snail nail whale pail sail",
    "-ain": "train chain crane lane drain plane",
    "-air": "bear chair pear hare mare",
    "-all": "ball wall hall shawl stall",
    "-an": "fan pan van can man",
    "-ap": "map cap trap strap",
    "-ar": "car star jar guitar bar",
    "-ate": "gate plate skate crate",
    "-eed": "seed weed reed bead steed",
    "-eel": "wheel seal meal heel",
    "-een": "queen bean machine screen tambourine",
    "-ell": "bell shell well cell",
    "-en": "hen pen den wren",
    "-est": "nest vest chest guest crest",
    "-et": "net pet jet cadet",
    "-ight": "light knight kite flight",
    "-ine": "mine vine pine sign line shrine",
    "-ing": "king ring string swing wing",
    "-ip": "ship whip chip lip",
    "-ock": "clock rock sock lock dock block",
    "-og": "dog frog log hog",
    "-one": "bone stone phone throne cone",
    "-oat": "boat goat coat note moat",
    "-ook": "book hook cook brook crook",
    "-ool": "pool stool school tool mule",
    "-oon": "moon spoon balloon tune raccoon",
    "-oot": "boot flute fruit suit root",
    "-ub": "tub cub club shrub",
    "-ug": "bug rug mug jug slug",
    "-um": "drum plum thumb crumb",
    "-un": "bun nun gun sun",
    "-unk": "trunk skunk monk bunk",
    "-ee": "tree bee key knee flea",
    "-oo": "shoe zoo canoe kangaroo screw",
    "-ed": "bed sled shed head thread",
    "-y": "pie fly tie spy",
}

_WORDS = {name: words(listed) for name, listed in _CLASSES.items()}
_PAIRS = [(name, x, y) for name, rhymes in _WORDS.items() for x, y in permutations(rhymes, 2)]
_PAIRS_OF = {
    "train": [(name, x, y) for name, x, y in _PAIRS if not is_held_out("couplets", *sorted((x, y)))],
    "heldout": [(name, x, y) for name, x, y in _PAIRS if is_held_out("couplets", *sorted((x, y)))],
}


@dataclass(frozen=True)
class Verse:
    """Two lines. Slots: x and y the rhyme words, A a person with he/He/him/his/His, B another person."""

    name: str
    first: str
    second: str


# fmt: off
TRAIN = (
    Verse("drawing", "{A} took a pencil and drew a {x}^,", "and under it, smaller, {he} drew a ^{y}."),
    Verse("dream", "Last night as I slept I dreamed of a {x}^", "that wanted to dance with a little old ^{y}."),
    Verse("cloud", "We saw a white cloud in the shape of a {x}^;", "the wind blew it into the shape of a ^{y}."),
    Verse("song", "My uncle once sang me a song of a {x}^;", "the end of the song was about a big ^{y}."),
    Verse("picture book", "On page number one you can look at a {x}^,", "and when you turn over you come to a ^{y}."),
    Verse("biscuit", "{A} baked {B} a biscuit that looked like a {x}^,",
          "and one with some sugar that looked like a ^{y}."),
    Verse("toy shop", "The toy shop has got in its window a {x}^,", "and high on the shelf stands a wonderful ^{y}."),
    Verse("wish", "{A} wished on a star for a beautiful {x}^,", "but what {he} was given was only a ^{y}."),
    Verse("riddle", "It is not a bird and it is not a {x}^.", "You never will guess it: it must be a ^{y}."),
    Verse("stage", "The curtain goes up and we all see a {x}^;", "then out of the dark comes a boy with a ^{y}."),
    Verse("sand", "Down on the beach {A} has made a sand {x}^,", "and next to it {B} is making a ^{y}."),
    Verse("letter", "Dear {A}, in this letter I send you a {x}^.", "I hope that you like it, and send me a ^{y}."),
    Verse("museum", "The glass on the left side is guarding a {x}^,", "the glass on the right is in front of a ^{y}."),
    Verse("puppet", "{A} owns a puppet that looks like a {x}^;", "it nods when {he} shows it a picture of a ^{y}."),
    Verse("market", "{A} went to the market to look for a {x}^,", "and came home at midday, and had a new ^{y}."),
    Verse("shadow", "The lamp on the wall makes the shade of a {x}^;",
          "you move your left hand and it looks like a ^{y}."),
    Verse("tale", "I know an old story. It starts with a {x}^.", "It ends when a farmer discovers a ^{y}."),
    Verse("carving", "Out of soft wood {A} is carving a {x}^;", "tomorrow, if {he} has the time, it is a ^{y}."),
    Verse("question", "What would you do if you turned to a {x}^?", "I think I would look for a friend and a ^{y}."),
    Verse("moonlight", "The moon shone as bright as could be on a {x}^,",
          "and silver and still in its light lay a ^{y}."),
    Verse("attic", "Up under the roof there is hidden a {x}^,", "and deep in the dust there is also a ^{y}."),
    Verse("trade", "I gave my friend {A} for a penny a {x}^,", "and {he} gave me back for my penny a ^{y}."),
    Verse("stamp", "{A} has a small stamp with a print of a {x}^;", "{B} has a bigger one, that of a ^{y}."),
    Verse("wizard", 'The wizard said "Hocus!" and there was a {x}^.', 'Then he said "Pocus!" and there was a ^{y}.'),
    Verse("kitchen poem", "{A} wrote a poem that praises a {x}^.", "The teacher said: why not a poem on a ^{y}?"),
    Verse("dressing up", "{A} goes to the party dressed up as a {x}^;", "{B} will go too, and will go as a ^{y}."),
    Verse("flag", "The flag of our club has a yellowish {x}^,", "and right in the corner a tiny blue ^{y}."),
    Verse("gift", "When {A} was just seven {he} wanted a {x}^.", "Now {he} is eleven and dreams of a ^{y}."),
    Verse("fog", "Out of the fog comes the shape of a {x}^.", "No, now that I see it, it must be a ^{y}."),
    Verse("cupboard", "Open the cupboard and there is a {x}^,", "and somebody put on its left side a ^{y}."),
    Verse("film", "I saw in a film how they painted a {x}^,", "and how with much trouble they painted a ^{y}."),
    Verse("stone", "This pebble is smooth and is shaped like a {x}^,", "and that one is flat and is more like a ^{y}."),
    Verse("never", "I never have written a line on a {x}^,", "and now I shall write you a line on a ^{y}."),
    Verse("dictionary", "The first word that {A} learned to write was a {x}^,",
          "the second {he} managed to write was a ^{y}."),
    Verse("paper", "Fold up the paper, and this makes a {x}^;", "fold it once more and it gives you a ^{y}."),
    Verse("clay", "With clay on {his} fingers {A} models a {x}^,", "and when it has dried {he} will model a ^{y}."),
    Verse("sign", "The inn by the road is called Inn of the {x}^;", "the inn by the hill is called Inn of the ^{y}."),
    Verse("lost", "Poor {A} cannot find what {he} needs for a {x}^,", "and {B} cannot find any part of a ^{y}."),
    Verse("spell", "If ever you whisper three times to a {x}^,", "then just for a minute it turns to a ^{y}."),
    Verse("gran", "My gran has a blanket. On it is a {x}^,", "and sewn on the back of the blanket a ^{y}."),
)

HELD_OUT = (
    Verse("snow", "{A} scratched in the snow the long lines of a {x}^,", "and {B} put beside it the lines of a ^{y}."),
    Verse("tattoo", "The sailor has got on his arm a blue {x}^,", "and if you look closer, you see a small ^{y}."),
    Verse("jigsaw", "The puzzle, when finished, will show us a {x}^,", "with far in the background a hill and a ^{y}."),
    Verse("puddle", "I looked in a puddle and there was a {x}^;", "I looked once again and I saw just a ^{y}."),
    Verse("parade", "The man at the front has a hat like a {x}^;", "the man at the end has a hat like a ^{y}."),
)

INTROS = (
    "{A}, who is seven, made up this rhyme for a friend at school:\n",
    "A rhyme for the road, to be sung by two people in turn.\n",
    "Here is what we used to say in the yard when {A} was small:\n",
    "From the notebook of {A}, written on a long and rainy Sunday:\n",
    "\"Do you know this one?\" asked {A}, and read it aloud to us:\n",
    "Two lines that {A} found on the last page of an old almanac:\n",
    "The children clap their hands and call out, quicker and quicker:\n",
    "Rhyme of the day. Read it slowly, and listen for its sound.\n",
    "{A} could not sleep, so {B} said these two lines very softly:\n",
    "On the wall of the classroom somebody had written in chalk:\n",
    "Every evening {A} thinks of two lines that end in one sound.\n",
    "This one is short, {A} told me, but nobody forgets it:\n",
)
# fmt: on


def rhyme_words(value: str) -> tuple[str, ...]:
    """All words of a rhyme class that an episode may use. KeyError for a name that is no class."""
    return _WORDS[value]


def write(dice: Dice, split: str) -> Episode:
    verse = pick_wording(dice, split, TRAIN, HELD_OUT)
    rhyme, x, y = dice.pick(_PAIRS_OF[split])
    person, friend = dice.sample(NAMES, 2)
    slots = {"A": person, "B": friend, "x": x, "y": y, **pronouns(person)}
    draft = Draft()
    draft.write(dice.pick(INTROS), slots)
    (known,) = draft.write(verse.first + "\n", slots)
    (stated,) = draft.write(verse.second, slots)
    return draft.finish("couplets", [Fact("rhyme", rhyme, known, stated)], verse.name, split)
