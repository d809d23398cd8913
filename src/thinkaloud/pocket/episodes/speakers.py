"""Chats in which the user shows a trait without naming it; the fact is the trait that the answer will need.

Fact: `trait` (settled by the first cue, stated where the assistant names it). Held-out combinations are pairs of cues
of one trait, in either order. The wording is the user's last question. A `^` in a cue is where it gives the trait away.
"""

from dataclasses import dataclass

from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact, is_held_out, pick_wording


@dataclass(frozen=True)
class Trait:
    """`you` goes on after "you", with a mark before `value`; advice, one a topic, goes on after "you could"."""

    value: str
    you: str
    cues: tuple[str, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A user's last question on one of the TOPICS; the answer needs the trait."""

    name: str
    topic: str
    text: str


TOPICS = ("weekend", "present", "holiday", "book", "evening")

# fmt: off
TRAITS = (
    Trait("vegetarian", "are a ^vegetarian", ("I have not eaten meat^ for ten years.",
          "My brother grilled sausages, and I had only the salad^.", "I always check the soup for chicken stock^.",
          "At dinner they passed me the ham and I passed it on^.", "Fish is off my plate too, like all animals^.",
          "My burgers are made of beans^.", "I could never eat a lamb^.", "I walk quickly past the butcher's shop^."),
          ("try a new lentil dish", "ask for a book of bean recipes", "go where they cook with plenty of vegetables",
          "read about cooking without meat", "bake a mushroom pie")),
    Trait("nurse", "are a ^nurse", ("I gave forty injections^ this morning.", "My ward was full^ again.",
          "The doctors ask and I fetch the bandages^.", "I took temperatures and changed beds all night for the sick^.",
          "A patient held my hand^ until he fell asleep.", "I washed my white uniform after the shift on ward six^.",
          "An old man rang for me all night from his hospital bed^.",
          "I hand out the pills at six^, before the doctors come."), ("rest your feet after the wards",
          "ask for soft shoes for the hospital", "go far away from all patients", "read a novel set in a hospital",
          "sleep early before the next shift")),
    Trait("toddler", "have a ^toddler", ("My son took his first steps^ in May.",
          "There are tiny shoes and nappies^ all over my hall.",
          "We are up at five, because little Mia^ calls from her cot.", "My daughter can say ten words^ by now.",
          "I step on wooden blocks^ every morning.", "My little one spat the carrots^ over my shirt.",
          "I push the pram^ round the park every day.", "He is almost two^ and pulls the tail of our cat."),
          ("visit a playground with a low slide", "choose wooden blocks",
          "pick a place with a shallow pool for small children", "read a picture book aloud",
          "sing a lullaby and go to bed early")),
    Trait("afraid of flying", "are ^afraid of flying", ("My hands get wet when I hear a plane take off^.",
          "I have never dared to board a plane^.", "At the airport I turned round and went home^.",
          "I took three trains to Rome, since planes scare me^.", "Turbulence is the word I hate most^.",
          "I cry when the cabin doors close^.", "My sister flew, and I went by ship as always^.",
          "Nobody gets me up into the air^."), ("take a slow train to the coast", "ask for a railway ticket",
          "go by train and stay on the ground", "read about great railway journeys", "watch a film without planes")),
    Trait("learning English", "are ^learning English", ("Sorry, how you say, my words are not so good^.",
          "I look up every second word in the dictionary^.", "My teacher says I must practise the past tense^.",
          "At home we speak only Polish, so excuse mistakes^.", "Please use simple words, I came here in May^.",
          "I write new words on cards^ each night.", "I not understand the jokes on the radio yet^.",
          "My course has a test on spelling and grammar^ soon."), ("join a group that chats in simple words",
          "ask for a good dictionary", "stay with a family that talks a lot", "read short stories in easy words",
          "watch a film with the words written below")),
    Trait("farm", "live on a ^farm", ("The cows woke me^ at four.", "We brought in the hay^ just before the rain.",
          "My tractor broke down^ again.", "I have to milk^ before I can write to you.", "Our wheat is nearly ripe^.",
          "A fox got into our henhouse^.", "The vet came to see our sick calf^.",
          "From my window I see only our own fields and pigs^."), ("mend the fence by the fields",
          "ask for strong rubber boots", "go after the harvest, when the cows are cared for", "read about keeping hens",
          "sit on the bench by the barn")),
    Trait("left-handed", "are ^left-handed", ("Scissors never work in the hand I use^.",
          "My right hand is good for nothing^.", "My sleeve wipes over the ink as I write^.",
          "I bump elbows with everyone at table, being turned the other way^.",
          "At school they tied my writing hand to make me use the right^.",
          "I play the guitar with the strings the other way^ round.", "The mouse of my computer is on the other side^.",
          "My tennis partner hates my serve from the wrong side^."), ("practise drawing with a pen that dries fast",
          "ask for scissors made for you", "try a course with tools for either hand",
          "read about famous painters who held the brush like you", "play tennis from your strong side")),
    Trait("student", "are a ^student", ("My exams start^ in two weeks.", "I slept through the lecture^ again.",
          "My essay for the professor^ is late.", "I live on noodles in a shared room on the campus^.",
          "The library of the university^ is my second home.", "My tutor wants a longer thesis^.",
          "I have three seminars^ on Tuesdays.", "I am in my second term^ and always short of money."),
          ("learn for the exams in the park", "ask for money for your rent", "take a cheap bus after the last exam",
          "read something that is on no exam", "cook noodles with the others from the campus")),
    Trait("blind", "are ^blind", ("My dog guides^ me across the street.", "I read with my fingertips^.",
          "My white cane^ broke on the stairs.", "A voice reads my letters out to me, as I see nothing^.",
          "I know my friends by their steps, since I lost my sight^.", "I have never seen a colour^.",
          "I count the steps to the bus, as it is always dark for me^.", "I type on a keyboard with raised dots^."),
          ("go to a concert with your guide dog", "ask for a radio with a clear voice",
          "go where you can smell the sea and hear it", "listen to a book read aloud",
          "feel your way through a new clay figure")),
    Trait("runner", "are a ^runner", ("I did twenty miles^ before breakfast.", "My knees ache since the marathon^.",
          "I wear out four pairs of trainers^ a year.", "My best time over ten kilometres^ was on Sunday.",
          "I train for the big race^ in April.", "I lap the park^ at six every morning.",
          "At the finish line^ my legs gave way.", "My stopwatch^ never leaves my wrist."),
          ("jog along a quiet forest path", "ask for new trainers",
          "go where there are long flat roads for your training", "read the story of a great marathon",
          "stretch your legs and eat noodles")),
    Trait("musician", "are a ^musician", ("My violin needs new strings^.",
          "We rehearse with the orchestra^ every night.", "My fingers hurt from practising scales^.",
          "I played two encores^ on Friday.", "The conductor shouted at my row^.",
          "I tune my cello^ before every meal.", "The neighbours complain about my trumpet^.",
          "My solo^ in the concert went badly."), ("play in the park with some friends", "ask for a new music stand",
          "go where there is a festival with an orchestra", "read the life of a great composer",
          "practise scales softly")),
    Trait("allergic to cats", "are ^allergic to cats", ("My aunt's kitten makes me sneeze^.",
          "I sneezed as soon as her tomcat^ came in.", "My eyes water when something purrs^ near me.",
          "One cat hair on a chair, and I cannot breathe^.", "I had to move out because of his two cats^.",
          "I get a rash from anything that says meow^.", "I visit her only in the garden, as her cats make me cough^.",
          "My nose knows at once if a cat^ has been here."), ("meet friends in a home without fur",
          "ask for a goldfish", "choose a hotel that takes no animals", "read about dogs instead",
          "air the room and keep the windows open for an hour")),
)

SMALL_TALK = (
    ("How long do I boil an egg?", "About eight minutes for a firm one."),
    ("What is the capital of Norway?", "The capital of Norway is Oslo."),
    ("How many minutes are in two hours?", "Two hours have 120 minutes."),
    ("What is another word for quick?", "You could say fast or rapid."),
    ("How do I get ink off a table?", "Rub it with a little lemon juice."),
    ("Which planet is the largest?", "Jupiter is the largest planet."),
    ("How do I spell necessary?", "One c and a double s: necessary."),
    ("What does a barometer do?", "It measures the pressure of the air."),
    ("Who painted the Mona Lisa?", "It was painted by Leonardo da Vinci."),
    ("Can you tell me what an atlas is?", "An atlas is a collection of maps."),
    ("How hot is boiling water?", "Water boils at 100 degrees Celsius."),
    ("What is the longest day of the year?", "In the north it falls in June."),
    ("How do I fold a napkin nicely?", "Fold it twice, then roll up one corner."),
    ("Why is the sky blue?", "The air scatters blue light the most."),
    ("Where does amber come from?", "It is the hardened resin of old trees."),
    ("How do I keep bread fresh?", "Wrap it in a cloth and keep it dry."),
    ("What is the opposite of shallow?", "The opposite of shallow is deep."),
    ("How many sides has a hexagon?", "A hexagon has six sides."),
)
GREETINGS = ("", "Hello! ", "Hi. ", "Good evening. ", "Hello there. ", "Me again. ")
LINKS = ("Thanks. ", "Good to know. ", "I see. ", "Thank you. ", "Ah, right. ", "")
NAMING = ("As you {0}, you could {1}.", "Since you {0}, you could {1}.", "You {0}, so you could {1}.",
          "Well, you {0}. You could {1}.", "Because you {0}, I think you could {1}.")

TRAIN = (
    Question("weekend free", "weekend", "What shall I do at the weekend?"),
    Question("weekend plan", "weekend", "Can you think of a plan for Saturday?"),
    Question("weekend bored", "weekend", "Sunday will be dull. Any idea?"),
    Question("weekend idea", "weekend", "I need something to do on my day off."),
    Question("weekend wish", "weekend", "Suggest something for two free days."),
    Question("weekend sun", "weekend", "They say it will be sunny tomorrow. What would suit me?"),
    Question("weekend choice", "weekend", "Now, what could I do with my free afternoon?"),
    Question("weekend rest", "weekend", "What would be a good way to spend Saturday?"),
    Question("present birthday", "present", "What should I ask for on my birthday?"),
    Question("present family", "present", "My family wants to give me something. What shall I say?"),
    Question("present list", "present", "Help me write a list of presents I would like."),
    Question("present aunt", "present", "My aunt asks what present would be right for me."),
    Question("present winter", "present", "What could I wish for this winter?"),
    Question("present friend", "present", "A friend will buy me a present. Which one?"),
    Question("present useful", "present", "Is there some useful thing I should wish for?"),
    Question("present guess", "present", "Can you guess the best present for me?"),
    Question("holiday where", "holiday", "Where should I go on holiday?"),
    Question("holiday plan", "holiday", "Please plan a holiday for me."),
    Question("holiday summer", "holiday", "I have a free week in summer. What kind of trip?"),
    Question("holiday tip", "holiday", "Do you have a tip for my next trip?"),
    Question("holiday short", "holiday", "How should I travel this year?"),
    Question("holiday sea", "holiday", "I would like to get away from here. What fits?"),
    Question("holiday first", "holiday", "It is my first holiday in years. What do you say?"),
    Question("holiday map", "holiday", "The map lies before me. What sort of holiday shall it be?"),
    Question("book read", "book", "What should I read next?"),
    Question("book tip", "book", "Can you recommend a book to me?"),
    Question("book shop", "book", "I am in a bookshop. What should I look for?"),
    Question("book shelf", "book", "My shelf has room for one more. Which kind of book?"),
    Question("book quiet", "book", "I want to sit down with a book. Any advice?"),
    Question("book library", "book", "The library closes soon! What shall I borrow?"),
    Question("book club", "book", "My club lets me choose the next book. Well?"),
    Question("book like", "book", "Which book would a person like me enjoy?"),
    Question("evening tonight", "evening", "What could I do tonight?"),
    Question("evening home", "evening", "How shall I spend the evening?"),
    Question("evening quiet", "evening", "I am at home and it is getting dark. What now?"),
    Question("evening rain", "evening", "It is raining and I have the evening to myself."),
    Question("evening tired", "evening", "The day was long. What would do me good now?"),
    Question("evening idea", "evening", "Give me one idea for after supper."),
    Question("evening alone", "evening", "What is a nice thing to do before bed?"),
    Question("evening end", "evening", "How do I end this day well?"),
)

HELD_OUT = (
    Question("weekend holdout", "weekend", "Friday at last! How would you fill my next two days?"),
    Question("present holdout", "present", "Somebody wants to surprise me. What should they wrap up?"),
    Question("holiday holdout", "holiday", "My suitcase is out. Which journey is the right one?"),
    Question("book holdout", "book", "Name me a good thing to read in bed."),
    Question("evening holdout", "evening", "Supper is over and nobody calls. Now what?"),
)
# fmt: on


def write(dice: Dice, split: str) -> Episode:
    question = pick_wording(dice, split, TRAIN, HELD_OUT)
    trait, first, second = _draw_cues(dice)
    while is_held_out("speakers", *sorted((first, second))) != (split == "heldout"):
        trait, first, second = _draw_cues(dice)
    talk = dice.sample(SMALL_TALK, dice.pick((1, 1, 2, 2, 2, 3)))
    draft = Draft()
    known = _small_talk(draft, dice, talk, first, second)
    draft.turn("user")
    draft.write(dice.pick(LINKS) + (second + " " if len(talk) == 1 else "").replace("^", "") + question.text)
    draft.turn("assistant")
    advice = trait.advice[TOPICS.index(question.topic)]
    (stated,) = draft.write(dice.pick(NAMING).format(trait.you, advice))
    return draft.finish("speakers", [Fact("trait", trait.value, known, stated)], question.name, split)


def _draw_cues(dice: Dice) -> tuple[Trait, str, str]:
    trait = dice.pick(TRAITS)
    first, second = dice.sample(trait.cues, 2)
    return trait, first, second


def _small_talk(draft: Draft, dice: Dice, talk: list[tuple[str, str]], first: str, second: str) -> int:
    """Write the early turns, the first two opened by the cues if there are two; where the first cue is settled."""
    known = 0
    for i, (asked, reply) in enumerate(talk):
        draft.turn("user")
        if i == 0:
            (known,) = draft.write(dice.pick(GREETINGS) + first)
        else:
            draft.write(dice.pick(LINKS) + (second.replace("^", "") if i == 1 else ""))
        draft.write((" " if i < 2 else "") + asked)
        draft.turn("assistant")
        draft.write(reply)
    return known
