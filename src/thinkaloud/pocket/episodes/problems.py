"""Word problems of one or two steps; the facts are the number after each step and the answer.

Facts: `after_step_1`, `after_step_2` (the quantity, settled by the step's number and verb, stated as the result of its
line in the solution) and `answer` (the last of these quantities). Held-out combinations are single steps: the quantity
before, the operation and the number. A `^` in a sentence is where the step is settled.
"""

from dataclasses import dataclass

from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact, is_held_out, pick_wording
from thinkaloud.pocket.episodes.people import NAMES, pronouns


@dataclass(frozen=True)
class Scene:
    """One setting. Slots: A and B people, he/He/him/his/His for A, n and k numbers, objs the things counted."""

    name: str
    objs: str
    opening: str
    add: tuple[str, str]
    subtract: tuple[str, str]
    ask: str


@dataclass(frozen=True)
class Step:
    """before `op` number = after; op is one of + - * /."""

    before: int
    op: str
    number: int
    after: int


TOYS = "marbles stickers cards beads buttons shells coins pebbles crayons ribbons badges stamps"
FRUIT = "apples pears plums peaches lemons oranges figs melons"
PASTRY = "muffins rolls pies pancakes buns tarts cookies"
FLOWERS = "tulips roses daisies lilies poppies"
FARM = "hens ducks goats rabbits lambs"

SCALE = {
    ("*", 2): ("A week later there are twice^ as many.", "Before long the number doubles^."),
    ("*", 3): (
        "A month later there are three times^ as many.",
        "In time the number grows to three times^ what it was.",
    ),
    ("/", 2): ("By evening half^ of them are gone.", "Before long only half^ of them are left."),
}

# fmt: off
TRAIN = (
    Scene("pocket", TOYS, "{A} has {n} {objs} in {his} pocket.", ("{He} finds {k}^ more on the path.",
          "{B} hands {him} {k}^ more."), ("{He} gives {k}^ of them to {B}.",
          "On the way home {he} drops {k}^ in the grass."), "How many {objs} does {A} have now?"),
    Scene("stall", FRUIT, "There are {n} {objs} in a basket on {A}'s stall.", ("{A} puts in {k}^ more.",
          "At noon a farmer delivers {k}^ more."), ("A customer buys {k}^ of them.",
          "It turns out that {k} are rotten^."), "How many {objs} are in the basket in the end?"),
    Scene("bus", "passengers", "{A} drives out of the station with {n} passengers on the bus.",
          ("At the next stop {k} people get on^.", "By the bridge another {k}^ climb aboard."),
          ("At the school {k} people get off^.", "Near the park {k} riders leave^."),
          "How many passengers are on the bus now?"),
    Scene("barn", FARM, "{A} keeps {n} {objs} in the old barn.", ("In spring {k} little ones are born^.",
          "At the fair {he} buys {k}^ more."), ("{He} sells {k}^ to a neighbour.", "One night {k} of them run away^."),
          "How many {objs} does {A} keep now?"),
    Scene("oven", PASTRY, "Before breakfast {A} bakes {n} {objs}.", ("After lunch {he} bakes {k}^ more.",
          "Then {B} arrives and adds {k}^ from home."), ("The children eat {k}^ of them.",
          "Sadly, {k} fall^ on the floor."), "How many {objs} are there in the end?"),
    Scene("shelf", "books", "A shelf in {A}'s library holds {n} books.", ("On Monday readers return {k}^.",
          "{A} adds {k}^ new ones."), ("A school class borrows {k}^.",
          "{A} finds that {k} are torn^ and throws them out."), "How many books are on the shelf after that?"),
    Scene("fishing", "fish", "By noon {A} has {n} fish in the bucket.", ("In the afternoon {he} catches {k}^ more.",
          "From another boat {B} passes over {k}^."), ("{He} lets {k}^ small ones go.", "A hungry gull steals {k}^."),
          "How many fish does {A} take home?"),
    Scene("album", "stamps", "So far {A}'s album has {n} stamps.", ("A letter from {B} brings {k}^ more.",
          "For {his} birthday {he} receives {k}^ rare ones."), ("{He} trades away {k}^ of them.",
          "When the page rips, {k} are lost^."), "How many stamps does the album have now?"),
    Scene("bloom", FLOWERS, "In {A}'s garden {n} {objs} are in bloom.", ("After the rain {k} more open^.",
          "{B} plants {k}^ more by the wall."), ("{A} cuts {k}^ for the table.", "A strong wind breaks {k}^."),
          "How many {objs} are in bloom now?"),
    Scene("savings", "dollars", "{A} has saved {n} dollars.", ("{He} earns {k}^ dollars by washing cars.",
          "Grandmother sends {him} {k}^ dollars."), ("{He} spends {k}^ dollars on a book.",
          "{He} lends {B} {k}^ dollars."), "How many dollars does {A} have left?"),
    Scene("party", "balloons", "For the party {A} hangs up {n} balloons.", ("{B} blows up {k}^ more.",
          "The neighbours bring {k}^ more."), ("With a bang, {k} of them burst^.", "The wind carries off {k}^."),
          "How many balloons are there now?"),
    Scene("wagons", "wagons", "A long train pulls {n} wagons out of the city.",
          ("At the harbour the workers attach {k}^ more.", "In the next town it picks up {k}^."),
          ("At the mine it leaves {k}^ behind.", "Before the hill the driver unhooks {k}^."),
          "How many wagons does the train pull after that?"),
    Scene("class", "children", "There are {n} children in {A}'s class.", ("In autumn {k} new children join^.",
          "From another school come {k}^ more."), ("In winter {k} children move away^.",
          "Today {k} are at home^ with a cold."), "How many children are in the class now?"),
    Scene("eggs", "eggs", "This morning {A} collects {n} eggs.", ("In the evening {he} collects {k}^ more.",
          "{B} comes by and brings {k}^ more."), ("{He} uses {k}^ for a cake.", "On the steps {he} breaks {k}^."),
          "How many eggs does {A} have in the end?"),
    Scene("shop", "kites drums puzzles trumpets dolls robots", "The window of a toy shop shows {n} {objs}.",
          ("The owner, {A}, sets out {k}^ more.", "A van delivers {k}^ more."),
          ("A school orders {k}^ and takes them away.", "On Saturday {A} sells {k}^."),
          "How many {objs} does the window show after that?"),
    Scene("reading", "pages", "{A} still has {n} pages to read.", ("The teacher adds {k}^ pages to the task.",
          "Then {he} is given {k}^ extra pages."), ("Before bed {he} reads {k}^ of them.",
          "On the train {he} finishes {k}^ pages."), "How many pages are still to be read?"),
    Scene("game", "points", "After the first round {A} has {n} points.", ("In the next round {he} wins {k}^ points.",
          "A lucky card earns {him} {k}^ points."), ("A mistake costs {him} {k}^ points.",
          "Against {B} {he} loses {k}^ points."), "How many points does {A} have now?"),
    Scene("rainwater", "litres", "The barrel behind {A}'s house holds {n} litres of water.",
          ("A storm adds {k}^ litres.", "{B} pours in {k}^ litres."), ("{A} draws {k}^ litres for the beans.",
          "Through a crack {k} litres leak^ out."), "How many litres are in the barrel now?"),
    Scene("parking", "cars", "At eight o'clock {n} cars stand in the yard of the hotel.", ("By nine {k} more arrive^.",
          "Then {k} guests park^ their cars there too."), ("After breakfast {k} of them drive off^.",
          "A lorry tows away {k}^."), "How many cars stand in the yard in the end?"),
    Scene("roof", "sparrows pigeons crows starlings swallows", "{A} counts {n} {objs} on the roof.",
          ("Soon {k} more land^ beside them.", "From the oak come {k}^ more."), ("When the bell rings, {k} fly off^.",
          "A cat scares away {k}^."), "How many {objs} are on the roof now?"),
    Scene("harbour", "boats", "In the small harbour lie {n} boats.", ("With the tide {k} more sail in^.",
          "The ferry company brings {k}^ more."), ("At dawn {k} of them set out^ to sea.",
          "Because of the storm {k} sink^."), "How many boats lie in the harbour then?"),
    Scene("chairs", "chairs", "For the concert {A} sets up {n} chairs.",
          ("Because many people come, {he} fetches {k}^ more.", "{B} lends {him} {k}^ more."),
          ("The band needs {k}^ of them and takes them.", "As {k} are broken^, they are put away."),
          "How many chairs are ready?"),
    Scene("shelter", "dogs cats puppies kittens", "{A} looks after {n} {objs} at the shelter.",
          ("The police bring in {k}^ more.", "During the night {k} more are left^ at the door."),
          ("Kind families adopt {k}^ of them.", "Their owners come and collect {k}^."),
          "How many {objs} does {A} look after now?"),
    Scene("tickets", "tickets", "{A} has to sell {n} tickets for the school play.",
          ("The teacher gives {him} {k}^ more to sell.", "{B} falls ill, so {A} gets {k}^ more."),
          ("On the first day {he} sells {k}^.", "{His} uncle takes {k}^ of them."),
          "How many tickets does {A} still have?"),
    Scene("mailbag", "letters", "The postman {A} starts the day with {n} letters in the bag.",
          ("At the office {he} picks up {k}^ more.", "A shopkeeper hands {him} {k}^ more."),
          ("In Mill Street {he} delivers {k}^.", "At the big house {he} drops off {k}^."),
          "How many letters are in the bag now?"),
    Scene("crate", "bottles jars cans", "A crate in the cellar holds {n} {objs}.", ("{A} puts {k}^ more in it.",
          "{B} comes down and adds {k}^."), ("For the feast {A} takes out {k}^.",
          "The crate tips over and {k} break^."), "How many {objs} does the crate hold after that?"),
    Scene("necklace", "beads pearls shells", "{A} makes a necklace and strings {n} {objs}.",
          ("It is too short, so {he} adds {k}^.", "From {B} {he} gets {k}^ more and strings them as well."),
          ("It is too long, so {he} removes {k}^.", "The thread snaps and {k} roll away^."),
          "How many {objs} are on the necklace now?"),
    Scene("wall", "bricks stones", "{A} has laid {n} {objs} for a garden wall.", ("After a rest {he} lays {k}^ more.",
          "{B} helps and lays {k}^ more."), ("As {k} of them are loose^, they come off again.",
          "The goat knocks down {k}^."), "How many {objs} are in the wall now?"),
    Scene("snowballs", "snowballs", "Behind the fence {A} piles up {n} snowballs.", ("Quickly {he} makes {k}^ more.",
          "{His} little sister rolls {k}^ more."), ("{He} throws {k}^ at {B}.", "In the sun {k} of them melt^."),
          "How many snowballs are in the pile now?"),
    Scene("pots", "cups bowls plates vases", "On Tuesday {A} has {n} clay {objs} ready.",
          ("On Wednesday {he} shapes {k}^ more.", "{B} finishes {k}^ more in the same workshop."),
          ("In the kiln {k} of them crack^.", "A restaurant orders {k}^ and takes them at once."),
          "How many clay {objs} are there now?"),
    Scene("socks", "socks gloves scarves shirts", "{A} opens the drawer and counts {n} {objs}.",
          ("From the wash {he} brings {k}^ more.", "An aunt knits {him} {k}^ more."), ("{He} packs {k}^ for a journey.",
          "Moths have ruined {k}^, and out they go."), "How many {objs} are in the drawer now?"),
    Scene("songs", "songs", "{A} can play {n} songs on the guitar.", ("In summer {he} learns {k}^ more.",
          "{B} teaches {him} {k}^ more."), ("After a long break {he} forgets {k}^ of them.",
          "{He} drops {k}^ because they are dull."), "How many songs can {A} play now?"),
    Scene("seedlings", "seedlings", "On the windowsill {A} has {n} seedlings.", ("Within a week {k} more come up^.",
          "At the market {he} buys {k}^ more."), ("Snails eat {k}^ of them.", "{He} gives {B} {k}^ to plant at home."),
          "How many seedlings does {A} have now?"),
    Scene("orchard", "trees", "{A}'s orchard has {n} trees.", ("This autumn {he} plants {k}^ more.",
          "With the next field {he} gains {k}^ more."), ("Lightning destroys {k}^.",
          "Since {k} are old and sick^, they are felled."), "How many trees does the orchard have then?"),
    Scene("pencilbox", "pencils pens brushes", "When {A} opens the box, there are {n} {objs} in it.",
          ("The teacher puts {k}^ new ones in.", "Under the desk {he} finds {k}^ more."), ("{B} borrows {k}^.",
          "{He} throws away {k}^ that no longer work."), "How many {objs} are in the box now?"),
    Scene("photos", "photos", "{A} comes back from the lake with {n} photos.", ("{B} sends {him} {k}^ more.",
          "At home {he} takes {k}^ more in the garden."), ("As {k} are blurred^, they are deleted.",
          "By accident {he} deletes {k}^."), "How many photos does {A} have in the end?"),
    Scene("lanterns", "lanterns", "At dusk {n} lanterns are burning along the street.",
          ("The watchman lights {k}^ more.", "Down by the river {k} more are lit^."), ("The wind blows out {k}^.",
          "One by one, {k} go out^."), "How many lanterns are burning now?"),
    Scene("hotel", "guests", "In {A}'s mountain hotel there are {n} guests.", ("In the afternoon {k} more check in^.",
          "A group of {k} hikers arrives^."), ("After breakfast {k} guests check out^.",
          "Because of the snow {k} travel home^."), "How many guests are in the hotel now?"),
    Scene("flock", "sheep", "The shepherd {A} leads {n} sheep up the hill.", ("On the way {k} strays join^ the flock.",
          "{B} asks {him} to take {k}^ more along."), ("In the fog {k} get lost^.",
          "At the ford {he} hands over {k}^ to {B}."), "How many sheep does {A} have then?"),
    Scene("candy", "sweets candies nuts raisins", "Out of a paper bag {A} counts {n} {objs}.",
          ("{B} feels kind and gives {him} {k}^.", "In another bag {he} discovers {k}^ more."),
          ("{He} eats {k}^ at once.", "{He} shares {k}^ with {B}."), "How many {objs} does {A} have left?"),
)

HELD_OUT = (
    Scene("tram", "people", "The night tram sets off with {n} people inside.", ("At the theatre {k} people climb^ in.",
          "At the hospital another {k}^ get on."), ("At the town hall {k} people get off^.",
          "By the canal {k} leave^ the tram."), "How many people are inside now?"),
    Scene("hives", "hives", "At the edge of the wood {A} looks after {n} hives.", ("In May {he} buys {k}^ more.",
          "{B} gives {him} {k}^ more."), ("A bear destroys {k}^ of them.", "{He} sells {k}^ to {B}."),
          "How many hives does {A} look after in the end?"),
    Scene("quilt", "squares", "For a quilt {A} has cut {n} squares.", ("From an old curtain {he} makes {k}^ more.",
          "{His} mother adds {k}^ of silk."), ("The puppy ruins {k}^.", "{He} gives {k}^ to {B}, who sews too."),
          "How many squares does {A} have for the quilt?"),
    Scene("tools", "hammers saws nails screws", "Hanging in {A}'s workshop are {n} {objs}.",
          ("At a sale {he} buys {k}^ more.", "Out in the shed {he} finds {k}^ more."), ("{B} borrows {k}^ of them.",
          "As {k} are rusty^, they are thrown out."), "How many {objs} hang there now?"),
    Scene("choir", "singers", "{A} leads a choir of {n} singers.", ("After the summer {k} new singers join^.",
          "From the next village come {k}^ more."), ("Before the tour {k} of them fall^ ill.",
          "At the end of the year {k} leave^."), "How many singers are in the choir now?"),
)
# fmt: on


def write(dice: Dice, split: str) -> Episode:
    scene = pick_wording(dice, split, TRAIN, HELD_OUT)
    steps = _draw_steps(dice, split)
    person, friend = dice.sample(NAMES, 2)
    slots = {"A": person, "B": friend, "objs": dice.pick(scene.objs.split()), "n": steps[0].before, **pronouns(person)}
    draft = Draft()
    chat = dice.chance(1 / 3)
    if chat:
        draft.turn("user")
    draft.write(scene.opening, slots)
    known = _tell(draft, dice, scene, steps, slots)
    draft.write(" " + scene.ask, slots)
    if chat:
        draft.turn("assistant")
    else:
        draft.write("\n")
    stated = _solve(draft, dice, steps)
    facts = [
        Fact(f"after_step_{i}", str(step.after), at, said)
        for i, (step, at, said) in enumerate(zip(steps, known, stated, strict=True), 1)
    ]
    facts.append(Fact("answer", str(steps[-1].after), known[-1], stated[-1]))
    return draft.finish("problems", facts, scene.name, split)


def _draw_steps(dice: Dice, split: str) -> list[Step]:
    """Numbers for one or two steps: in train no step is held out, in held-out episodes at least one is."""
    while True:
        n_steps = dice.between(1, 2)
        quantity = dice.between(3, 30 if n_steps == 1 else 24)
        steps = []
        for _ in range(n_steps):
            step = _draw_step(dice, quantity)
            steps.append(step)
            quantity = step.after
        if any(not 1 <= step.after < 60 for step in steps):
            continue
        # A step that takes the number just reached would make the text say that quantity before it is stated.
        if n_steps == 2 and (steps[1].number == steps[0].after or steps[1].after == steps[0].after):
            continue
        if any(is_held_out("problems", s.before, s.op, s.number) for s in steps) == (split == "heldout"):
            return steps


def _draw_step(dice: Dice, quantity: int) -> Step:
    if dice.chance(0.12):
        op, number = dice.pick((("*", 2), ("*", 3), ("/", 2)))
        if op == "/":
            # An odd quantity has no half: 0 makes the caller draw again.
            return Step(quantity, op, number, 0 if quantity % 2 else quantity // 2)
        return Step(quantity, op, number, quantity * number)
    number = dice.between(2, 15)
    if dice.chance(0.5):
        return Step(quantity, "+", number, quantity + number)
    return Step(quantity, "-", number, quantity - number)


def _tell(draft: Draft, dice: Dice, scene: Scene, steps: list[Step], slots: dict) -> list[int]:
    """Write a sentence a step, never the same one twice; where each is settled."""
    used: set[str] = set()
    known = []
    for step in steps:
        options = {"+": scene.add, "-": scene.subtract}.get(step.op) or SCALE[step.op, step.number]
        sentence = dice.pick([option for option in options if option not in used])
        used.add(sentence)
        known += draft.write(" " + sentence, {**slots, "k": step.number})
    return known


def _solve(draft: Draft, dice: Dice, steps: list[Step]) -> list[int]:
    """Write the worked solution; where each result starts."""
    line = dice.pick(("{0} {1} {2} = ^{3}\n", "{0} {1} {2} = ^{3}\n", "{4} {0} {1} {2} = ^{3}.\n"))
    stated = []
    for i, step in enumerate(steps):
        head = ("First:", "Then:")[i] if len(steps) > 1 else "We get"
        filled = line.format(step.before, step.op, step.number, step.after, head)
        stated += draft.write(filled)
    draft.write(f"#### {steps[-1].after}")
    return stated
