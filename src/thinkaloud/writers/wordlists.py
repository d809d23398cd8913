"""Which part of speech is a common English word? Closed classes whole, open classes by their commonest members.

The open classes were counted on public-domain prose: a word belongs where its neighbours put it most often.
"""


def words(text: str) -> list[str]:
    """The words of a block of text: long lists read better as prose than as one quoted word a line."""
    return text.split()


FUNCTION_WORDS = {
    "article": """
        the a an
    """,
    "determiner": """
        this these those each every some any no another both either neither such all enough what's whichever
    """,
    "possessive": """
        his her my your our their its whose
    """,
    "pronoun": """
        i you he she it we they me him them us himself herself itself myself yourself themselves ourselves mine yours
        hers ours theirs who whom something nothing everything anything someone somebody anyone anybody everyone
        everybody nobody none one ones i'm you're he's she's it's we're they're i've you've we've they've i'll you'll
        he'll she'll we'll they'll it'll i'd you'd he'd she'd we'd they'd ye thou thee 'em
    """,
    "preposition": """
        of in on at by for with from to into upon over under through between among about after before against without
        during within toward towards across along around behind beside besides beyond above below near off inside
        outside onto beneath past per via despite throughout amongst aboard alongside except like unlike round till
        until concerning regarding
    """,
    "conjunction": """
        and or but nor yet because although though if unless while whilst whereas since as than that so whether lest
        therefore however
    """,
    "question word": """
        what why how when where which who's how's where's whence whither wherever whenever whatever
    """,
    "auxiliary": """
        is was are were be been being am has have had having do does did will would can could shall should may might
        must ought isn't wasn't aren't weren't hasn't haven't hadn't don't doesn't didn't won't wouldn't can't cannot
        couldn't shan't shouldn't mayn't mustn't needn't ain't that's there's here's let's
    """,
    "negation": """
        not never n't
    """,
    "adverb": """
        now then here there again also just only even still too very quite rather almost already always ever often
        soon once more most much well back away up down out together perhaps maybe indeed instead else later ago far
        further forward forth home sometimes somewhere anywhere everywhere nowhere somehow anyway moreover otherwise
        meanwhile afterwards afterward nevertheless thus hence yesterday today tomorrow tonight aside apart ahead
        alone upstairs downstairs twice seldom least less altogether elsewhere likewise etc enough
    """,
    "interjection": """
        oh ah yes no hello hi hey ok okay please thanks thank goodbye bye well eh alas hurrah ha hush sorry sure yeah
        yep nope
    """,
    "number word": """
        two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen eighteen twenty
        thirty forty fifty sixty seventy eighty ninety hundred thousand million billion dozen half first second third
        fourth fifth sixth seventh eighth ninth tenth
        nineteenth twentieth several many few
    """,
}

# Commonest first: the order is the weight a noun has as a topic.
NOUNS = words("""
time man way day people eyes head life years face world house hand place night things room thing part name end men
mother girl door water hands course side mind voice year boy morning moment father government days word king example
light city heart words number woman century system others country air times children kind information form war state
matter point order table feet case public rest family story child death data business money group friend body power
book idea history evening school wife land fire bed top means team line front process bit sound ground road sea
friends son fact development window language lady town north earth type service fellow sort boys hour arms sun south
control chapter code hair experience office sight captain person river term value women street age beginning minutes
field user middle future tree week west content space ship class design services users company east period gold hours
law horse food arm result island feeling trees party hall girls lot wall question foot uncle interest reason brother
mouth chance months wind game members area position level sense building letter wood floor program project nature
trouble paper aunt daughter church princess eye minute series corner ways key master music systems step post chair
stone deal study garden research writing works prince books dinner needs community silence function object force self
steps path agency search meaning box view forest source length smile village kingdom summer action sister doctor
windows method lives questions dog plan success list sky blood size note army figure types parts breath tools
attention page groups news terms boat direction manner names palace magic methods account job subject strength version
expression court effect approach piece role afternoon practice legs neck problem command doubt addition rock hat
changes forms ideas technology surprise military pocket fields distance soul edge glass truth range flowers purpose
spring hill lines clothes site secret board results tone miles meeting health journey places weeks member darkness
cases features husband dress tears population knowledge effort society picture evidence science youth horses battle
production values individual areas stories chief product movement resources sign station management theory lips silver
peace character cat spirit education influence train rate rule examples security thoughts valley car seat instant
region star events surface ears shoulder structure mountain presence market breakfast bread web report bank president
elements file art speed iron points bird square winter cost style college coat nose capital worse ring animals pain
heads policy joy center bottom shoulders problems performance energy message conversation castle birds computer trade
kitchen leaves mass dream opening soldiers career creature reading animal gentleman string countries pieces media
memory variety record pleasure letters fingers parents text official pair numbers functions store telling baby
property forces task police library morrow stars platform spot products material supper month objects understanding
difference feature base gate definition appearance race song drawing efforts tea culture grass ability dollars walls
faces shore mid amount reference snow model mark release brothers industry event projects professor season instance
speech skin officer software languages desire teeth beauty section opportunity attempt noise moon film ball duty shape
website marriage implementation machine couple color quality blow remains houses stick metal situation coast nation
lake date fish luck scene crowd stage rules issue administration games organization goal ear rain sides properties
centuries issues plans weather orders cook setting hero rights camp reply training gun teams nations growth risk
studies storm mountains dogs attack danger glance environment feedback fairy guard network wine response band concept
characters branch statement title fun application servants conditions audience decision minister bridge tail bell
streets programs stream fool co potential sources deck tool location species fellows progress importance territory
brain knees farm loss classes scale citizens hole student finger weight solution charge existence papers sake
developers leader cloud fortune heat authority challenge error leg islands passage rocks operation video pages
excitement safety condition hotel basis hurry smoke milk opinion communication grave faith wings woods cities centre
article rooms origin degree mission processes track activity argument module throat discovery enemy image laws freedom
element happiness crown description ladies affairs division companion emperor yard collection operations figures ocean
block ice variable terror staff details context respect shadow lack judge clouds port comfort stones row behavior
cousin lad doors branches families era hills difficulty mistake reasons sand roof folks relationship knife sword
parameter directions pictures powers cheeks voices quarter status flight cup harm soldier prize records advice flower
analysis carriage economy bow button stranger materials organizations worst websites customer dawn choice relations
syntax creation stairs apple pattern thousands map trip relief strategy advantage faster wedding activities price
birth email laughter independence courage engine colour shoes fashion meat salt bodies bay notes sigh accounts bar
eggs generation communities moments pressure host fox films screen unit exception forehead volume club bag regions
honor impact cmdlet creatures anger teacher association students shop universe mile majority challenges delight pipe
ages dreams director tongue trunk nearer cloth author reports chest basket oil document guns cave principles lamp pity
waves individuals lessons justice meal lights circle ships wheel background files device sooner crew television
philosophy format satisfaction stuff prison proposal manager beast commands contrast devices ends servant trail aid
construction hundreds request tradition experiences combination solutions press desert adventures bottle intelligence
usage employees fate dust customers boots actions crime vision wealth disease literature cap breast nurse session folk
sequence horror goals writer levels struggle sons card defense hell companies exchange feelings conflict nonsense
confidence buildings versions bush cell sites launch limit reality witch giant weapons hunting coffee devil fault tale
wound settlement app motion hearts entrance wolf principle discussion pause output planet wave players partners
protection competition decisions affair portion gas failure medicine cottage interests lunch warning adventure desk
connection pride standards bushes campaign victory chap demand maid fruit honour visitors chain extent copy identity
benefits stock tower script goods apps sheep barn effects smell yards traffic leadership plant signal strings rope
ease steel sunshine circumstances leaders items driver schools cake farther techniques border signs officers owner
input lock secretary troops mirror rage bowl throne plants rush chin possession purposes topic inhabitants parties
detail lands reaction hut treatment arts despair cabin tasks bones gentlemen architecture responsibility opportunities
whisper bigger notion goodness newspaper interface darling occasion shame flag shock elephant scope straw religion
arrival flow favor cells bits hiding link railway county arguments ray foundation movements kinds museum radio
resulted balance parameters election roses keys cheek temple teaching scheme hospital belief heap blog chamber
politics midnight mystery engagement habit patterns mistress distribution pot partner farmer murder enemies citizen
shell height jobs ending phase skills doorway facts minds maiden acts workers target treasure modules excuse authors
budget frame league suggestion components grandfather instructions songs governor survey magazine mechanism structures
technologies pilot claims channel alarm birthday player beard motor formation prisoners explanation spell programming
spirits district sugar curiosity clerk novel extension flesh proof platforms agreement atmosphere units clock flash
aspects beach computers cotton parent communications noon rates analytics dynasty tax sports assistant mathematics
pounds copper researchers trends fiction seconds marble diamond scientists degrees physics football messages agencies
humans heaven
""")

# Base and irregular forms; regular -ed and -ing forms are known by their ending.
VERBS = words("""
said see know made came go get come went make thought think use take work asked found got took began say look saw put
tell let want set find known give help told knew heard gave cried done became seen stood felt keep sat need gone
brought run love given held taken call believe mean become live ran lay lost led feel leave hear understand fell read
talk change wish ask try added care tried show sent suppose kept lived include hope turn bring met says moved return
remember spoke grew start play support cut speak answer caught makes hold died written built create wait eat meet stay
born rose stand fear comes stop sleep provide wrote seems act move wonder write seem drew fall shook meant build learn
send pay watch walk broke carry follow allow sit share save lead add cause struck laid begin cross pass break reach
knows guess spent cry looks grow access broken bear uses threw goes shut loved visit laugh spread forget touch happen
takes drive die catch hurt remain bound expect continue consider flew fight won listen improve test serve includes
gives escape allows provides drink liked rise understood shows notice appear shown join increase hung explain produce
marry check lie kill contains cover paid fit trust lose spoken buy prevent develop hidden promise sold address count
gets match burst wore focus ended drawn hit ride beat cast manage offer wants forgot dance bought pull re enter bent
fancy avoid taught sprang driven rode define faced drove handle describe dare choose slept calls begun pick flung drop
suit sounds travel ate guide receive ensure require sing imagine requires contain spend eaten draw throw exist seek
lies matters occur sets wear sought refer thrown hide prove worn protect accept identify becomes sell describes hoped
enjoy implement fought owned runs appears fill determine measure review hate returns benefit strike stuck sang sank
win helps worry jump teach gain perform bore raise reduce chosen occurs claim swept finish refers exists arose crept
split wash secure express wake lit mention anyhow roll kiss feed shone display chose waste maintain happens tells
conduct bowed blew blame supply capture remove waved fail thrust stands treat hunt spare advance decide prepare fled
stole attend thinks dared gazed push realize belong begins swung solve represent prefer deliver forgive specify bade
suggest agree keeps holds beg climb consists explore establish grant shake indicate eyed plays leads regard discover
fetch print lift causes references propose admit achieve replace rang continues turns hid creates promote finds bet
stolen settle hang torn fix offers sail bite defeat knock tie suffer depends sees switch affect discuss gather drank
slip vary pray select afford feels assure import tore woke shoot destroy awoke update likes bother tear engage crack
connect recognize communicate assist increases encourage depend starts collect defines enable supports reckon mount
acted earn tend mix appeal bless distinguish rid hated wept generate paint cheer rescue reflect observe steal combat
obtain repeat grows wiped arrive stir declare left
""")

# Adjectives that no ending gives away.
ADJECTIVES = words("""
other little good new old long great own last right same young better next early small best high open white big large
full different poor whole dear red black hard able common short dark important late possible general beautiful true
pretty close low human present real strong blue certain dead single free modern clear federal ready green happy afraid
strange fine major bad national main cold deep glad wide various social easy similar fast bright local heavy available
particular nice quiet simple wild soft natural current standard specific wrong hot quick popular original ancient
difficult yellow golden wonderful necessary western safe sweet special political lower fair digital rich higher
private warm sudden central usual silent sharp royal complete greater useful thick empty former larger worth asleep
native entire fresh separate angry personal huge terrible pale tall impossible international largest broad plain ill
final alive successful thin pleasant complex earlier dry smaller regular clean hungry older queer basic significant
mobile easier curious grey additional grand powerful slow southern sick eastern perfect somewhat busy tiny gray
foreign proud physical serious direct latter independent upper awful northern weak narrow total wet opposite earliest
mad active proper primary previous traditional splendid plenty faint clever recent fat numerous sad famous flat core
wise internal loud unknown equal dreadful double evil effective pink scientific highest civil greatest stable
commercial solid legal default unique dangerous anxious careful initial pure critical handsome vast younger rough
responsible familiar normal aware extra professional funny fond cool comfortable wooden technical bare historical
unable mere distinct tight cultural financial rare actual odd chemical distant welcome gentle dull brave classical
false loose follows global practical smooth average positive awake visible alternative medical eager tin correct firm
wicked equivalent blind excellent ordinary noble prominent musical silk relative capable custom valuable essential
calm prime precious nervous constant bitter foolish unusual slight exact hollow merry gay executive honest brief inner
mysterious stronger mighty female electric steady considerable horrible purple innocent tender industrial appropriate
rapid subsequent overall nearest dirty elder formal sufficient minor delightful unhappy oldest male vain external
grateful dim fundamental stiff patient fierce outer latest crazy lucky mental senior cheerful remote imperial stupid
regional continuous extensive domestic consistent extraordinary nearby shaggy violent permanent sample typical
influential medieval swift delicate cruel expensive severe weary mathematical colonial principal efficient visual
immediate universal smart optional electronic accessible artificial agile miserable solar biggest binary sensitive
earnest mechanical notable faithful massive diverse enormous negative keen annual slender apparent moral deeper
brilliant administrative relevant contemporary strategic obvious invisible absolute lean underground mistaken literary
stern desperate magnificent stout polite democratic virtual academic valid thoughtful frequent intense sunny eldest
conscious compatible vital solemn extreme explicit superior static raw tremendous dynamic frozen delicious joint
helpful uncertain suitable romantic peculiar favorite rocky dearest evident useless labour identical dominant
reasonable temporary functional remarkable sacred beaten substantial
""")
