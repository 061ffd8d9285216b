/* SPDX-License-Identifier: Apache-2.0
 * Words of the sample catalogue, and how a number picks among them: fifty kinds of goods, each in
 * twenty collections and ten finishes, which is ten thousand different names; further ones are new
 * editions of these. Neighbouring numbers are different kinds, so that a short list looks mixed. */
#include "catalogue.h"

const struct sample_category sample_categories[] = {
	{"home", "Home", NULL},
	{"kitchen", "Kitchen", "home"},
	{"tableware", "Tableware", "home"},
	{"furniture", "Furniture", "home"},
	{"lighting", "Lighting", "home"},
	{"bedding", "Bedding", "home"},
	{"garden", "Garden", NULL},
	{"garden-tools", "Garden Tools", "garden"},
	{"pots", "Pots & Planters", "garden"},
	{"electronics", "Electronics", NULL},
	{"audio", "Audio", "electronics"},
	{"headphones", "Headphones", "audio"},
	{"speakers", "Speakers", "audio"},
	{"desk-tech", "Desk Tech", "electronics"},
	{"office", "Office", NULL},
	{"stationery", "Stationery", "office"},
	{"bags", "Bags & Travel", NULL},
	{"clothing", "Clothing", NULL},
	{"outdoors", "Sports & Outdoors", NULL},
	{"toys", "Toys & Games", NULL},
	{"coffee-tea", "Coffee & Tea", NULL},
};
const size_t sample_category_count = sizeof sample_categories / sizeof *sample_categories;

enum { FINISHES = 10, COLLECTIONS = 20 };

static const char *const wood[FINISHES] = {
	"Walnut", "Oak", "Ash", "Cherry", "Maple", "Beech", "Acacia", "Olive Wood", "Birch", "Elm"};
static const char *const clay[FINISHES] = {"Speckled", "Ivory", "Charcoal", "Celadon", "Terracotta",
	"Sand", "Ink Blue", "Matte White", "Moss", "Rust"};
static const char *const metal[FINISHES] = {"Brass", "Black Steel", "Copper", "Brushed Steel",
	"Pewter", "Bronze", "White Enamel", "Graphite", "Nickel", "Antique Gold"};
static const char *const cloth[FINISHES] = {"Linen", "Flax", "Washed Cotton", "Indigo", "Olive",
	"Oatmeal", "Slate", "Rose", "Mustard", "Cream"};
static const char *const leather[FINISHES] = {"Tan", "Chestnut", "Black", "Cognac", "Olive", "Navy",
	"Natural", "Oxblood", "Sand", "Espresso"};
static const char *const colour[FINISHES] = {"Graphite", "Silver", "Midnight", "Sage", "Snow",
	"Coral", "Storm", "Sand", "Forest", "Plum"};
static const char *const roast[FINISHES] = {"Light Roast", "Medium Roast", "Dark Roast", "Washed",
	"Natural", "Honey Process", "Smoked", "First Flush", "Single Farm", "House"};

static const char *const collections[COLLECTIONS] = {"Harbor", "Fjord", "Alder", "Juniper",
	"Marlow", "Linden", "Sorrel", "Wren", "Hollis", "Ember", "Quarry", "Saltmarsh", "Orchard",
	"Thistle", "Bramble", "Larkspur", "Cobble", "Meadow", "Northgate", "Tarn"};

struct kind {
	const char *noun;
	const char *code; /* begins its SKUs */
	const char *category;
	const char *const *finishes;
	int low; /* prices in whole units */
	int high;
	const char *tags[SAMPLE_TAGS];
	const char *what;
	const char *care;
};

static const struct kind kinds[] = {
	{"Serving Tray", "TRY", "tableware", wood, 24, 58, {"wood", "serving", "gift"},
		"A tray with raised edges and cut-out handles that carries breakfast for two.",
		"Wipe clean and oil twice a year."},
	{"Dinner Plate", "PLT", "tableware", clay, 14, 34, {"stoneware", "dining", "everyday"},
		"A stoneware plate with a low rim that keeps the sauce where it belongs.",
		"Safe in dishwasher, microwave and oven."},
	{"Over-Ear Headphones", "HPO", "headphones", colour, 89, 299,
		{"wireless", "music", "travel"},
		"Closed headphones with memory foam pads and thirty hours of battery.",
		"Folds flat into the case that comes with it."},
	{"Pour-Over Kettle", "KTL", "kitchen", metal, 39, 95, {"coffee", "brewing", "gift"},
		"A gooseneck kettle that pours a thin, steady stream.",
		"Descale with vinegar once a month."},
	{"Canvas Backpack", "BPK", "bags", cloth, 58, 129, {"travel", "everyday", "laptop"},
		"A twenty-litre pack with a padded sleeve for a laptop and a pocket for the rest.",
		"Spot clean with cold water."},
	{"Desk Lamp", "LMP", "lighting", metal, 49, 139, {"office", "reading", "led"},
		"A lamp with two joints and a dimmable warm light for late pages.",
		"The LED lasts about twenty-five thousand hours."},
	{"Notebook", "NBK", "stationery", leather, 12, 38, {"writing", "paper", "gift"},
		"Two hundred lay-flat pages of cream paper that takes fountain pens well.",
		"Refills fit the same cover."},
	{"Throw Blanket", "THR", "bedding", cloth, 45, 119, {"sofa", "warm", "gift"},
		"A soft woven throw with short fringes, big enough for two on a sofa.",
		"Wash cold, dry flat."},
	{"Trowel", "TRW", "garden-tools", wood, 14, 32, {"planting", "hand-tool", "gift"},
		"A forged trowel with a handle that fits the palm and depth marks on the blade.",
		"Rinse after use and hang it up dry."},
	{"Coffee Beans", "BNS", "coffee-tea", roast, 9, 24, {"coffee", "beans", "espresso"},
		"Half a kilo of beans with notes of cocoa and orange peel, roasted every Tuesday.",
		"Best within six weeks of roasting."},
	{"Bookshelf Speaker", "SPK", "speakers", wood, 119, 420, {"music", "stereo", "living-room"},
		"A pair of two-way speakers in a solid cabinet, tuned for small rooms.",
		"Needs an amplifier of twenty watts or more."},
	{"Cutting Board", "CUT", "kitchen", wood, 22, 79, {"wood", "cooking", "gift"},
		"An end-grain board that is kind to knives, with a groove for juices.",
		"Oil now and then; not for the dishwasher."},
	{"Crew Sweater", "SWT", "clothing", cloth, 65, 149, {"knitwear", "warm", "everyday"},
		"A mid-weight sweater with saddle shoulders, knitted in one piece.",
		"Hand wash and dry flat."},
	{"Wooden Train", "TRN", "toys", wood, 16, 48, {"wood", "kids", "gift"},
		"An engine and three wagons with magnets, made for floors and small hands.",
		"From three years; painted with water-based colours."},
	{"Mechanical Keyboard", "KBD", "desk-tech", colour, 79, 219,
		{"typing", "wireless", "office"},
		"Seventy-five keys with quiet switches that can be swapped without a soldering "
		"iron.",
		"Works by cable and with three devices by radio."},
	{"Planter", "PLN", "pots", clay, 18, 64, {"plants", "indoor", "drainage"},
		"A planter with a saucer and a drain hole, for herbs or a modest fern.",
		"Frost-proof down to minus ten."},
	{"Camping Mug", "MUG", "outdoors", metal, 9, 24, {"camping", "enamel", "everyday"},
		"A light mug with a rolled rim that survives the bottom of a pack.",
		"Fine on a stove, not in a microwave."},
	{"Wallet", "WLT", "bags", leather, 29, 79, {"leather", "everyday", "gift"},
		"A slim wallet for six cards and folded notes, stitched with waxed thread.",
		"Darkens with use; a little balm helps."},
	{"Lounge Chair", "CHR", "furniture", wood, 249, 720, {"living-room", "reading", "wood"},
		"A low chair with a woven seat and arms wide enough for a cup.",
		"Assembled with four bolts; the key is in the box."},
	{"Tea Pot", "TEA", "coffee-tea", clay, 28, 72, {"tea", "brewing", "gift"},
		"A pot for three cups with a fine strainer and a lid that stays on.",
		"Rinse with hot water only."},
	{"Duvet Cover Set", "DUV", "bedding", cloth, 69, 179, {"bedroom", "soft", "breathable"},
		"A cover and two pillowcases, washed soft, with ties inside the corners.",
		"Machine wash at forty degrees."},
	{"Wall Clock", "CLK", "furniture", wood, 34, 89, {"silent", "living-room", "gift"},
		"A clock with a silent sweep movement and numerals one can read across a room.",
		"Takes one AA battery a year."},
	{"Trail Running Vest", "VST", "outdoors", colour, 59, 139,
		{"running", "light", "hydration"},
		"A vest for two soft flasks, a jacket and the things one needs at the turn.",
		"Machine wash cold, no softener."},
	{"Chef's Knife", "KNF", "kitchen", metal, 59, 189, {"cooking", "steel", "gift"},
		"A twenty-centimetre blade with a thin edge and a bolster that guides the grip.",
		"Wash by hand and hone once a week."},
	{"Wireless Earbuds", "EBD", "headphones", colour, 49, 179, {"wireless", "music", "sport"},
		"Small earbuds with four sizes of tips and a case that charges them five times.",
		"Rain and sweat are fine, a swim is not."},
	{"Floor Lamp", "FLM", "lighting", wood, 99, 289, {"living-room", "reading", "led"},
		"A slender lamp with a linen shade that throws light up and down.",
		"Takes one E27 bulb up to twelve watts."},
	{"Weekend Bag", "WKB", "bags", leather, 139, 349, {"travel", "leather", "cabin"},
		"A bag for two nights that fits overhead, with a compartment for shoes.",
		"Keep it stuffed when it rests."},
	{"Fountain Pen", "PEN", "stationery", metal, 24, 120, {"writing", "ink", "gift"},
		"A balanced pen with a steel nib that starts at once and never scratches.",
		"Takes standard cartridges and the converter in the box."},
	{"Pruning Shears", "SHR", "garden-tools", metal, 22, 59, {"pruning", "hand-tool", "steel"},
		"Bypass shears that cut clean through a finger-thick branch.",
		"Wipe with oil; blade and spring can be replaced."},
	{"Mixing Bowl Set", "BWL", "kitchen", clay, 32, 84, {"baking", "stoneware", "stackable"},
		"Three bowls that nest, each with a spout and a foot that does not slip.",
		"Safe in dishwasher and microwave."},
	{"Merino T-Shirt", "TSH", "clothing", cloth, 39, 89, {"merino", "everyday", "travel"},
		"A shirt of fine merino that can be worn for days and still be invited.",
		"Wash cool; it dries overnight."},
	{"Board Game", "BRD", "toys", cloth, 24, 64, {"family", "strategy", "evening"},
		"A game of harbours and weather for two to five, explained in ten minutes.",
		"From ten years; an evening takes about an hour."},
	{"Webcam", "CAM", "desk-tech", colour, 49, 149, {"video", "office", "privacy"},
		"A sharp camera with a shutter that one can see is closed.",
		"Plugs in by USB-C and needs no driver."},
	{"Side Table", "TBL", "furniture", wood, 79, 240, {"living-room", "wood", "small-space"},
		"A round table on three legs with a lip that keeps the cup on top.",
		"Wipe dry; legs screw in by hand."},
	{"Portable Speaker", "PSP", "speakers", colour, 39, 159, {"wireless", "outdoor", "music"},
		"A speaker of the size of a mug that fills a garden and floats if it must.",
		"Twelve hours of play; charges by USB-C."},
	{"Soup Bowl", "SBW", "tableware", clay, 12, 29, {"stoneware", "dining", "everyday"},
		"A deep bowl with a handle on one side, for soup, stew and second helpings.",
		"Safe in dishwasher, microwave and oven."},
	{"Rain Jacket", "RNJ", "clothing", colour, 89, 229, {"waterproof", "light", "travel"},
		"A light shell with taped seams and a hood that turns with the head.",
		"Wash with technical detergent and tumble warm."},
	{"Two-Person Tent", "TNT", "outdoors", colour, 159, 449, {"camping", "light", "waterproof"},
		"A tent that stands in five minutes, with two doors and room for boots.",
		"Dry it before it goes back into its sack."},
	{"Watering Can", "WTR", "garden", metal, 24, 69, {"plants", "indoor", "outdoor"},
		"A can with a long spout and a rose that rains instead of pouring.",
		"Empty it before the frost."},
	{"Desk Organizer", "ORG", "office", wood, 19, 59, {"office", "storage", "gift"},
		"A tray with places for pens, cards, a phone and the key one always looks for.",
		"Wipe with a dry cloth."},
	{"Hand Grinder", "GRN", "coffee-tea", metal, 45, 149, {"coffee", "brewing", "travel"},
		"A grinder with steel burrs and forty settings, from moka to press.",
		"Brush it out after use; no water."},
	{"Picnic Blanket", "PIC", "outdoors", cloth, 29, 75, {"picnic", "waterproof", "family"},
		"A blanket with a dry underside that rolls up behind its own strap.",
		"Shake out, wipe off, hang up."},
	{"Linen Apron", "APR", "kitchen", cloth, 24, 56, {"cooking", "linen", "gift"},
		"An apron with crossed straps and one deep pocket, made to get better with use.",
		"Machine wash at forty degrees."},
	{"Wool Beanie", "BNE", "clothing", cloth, 18, 45, {"wool", "warm", "winter"},
		"A ribbed beanie that covers the ears and does not itch.", "Hand wash cold."},
	{"Laptop Stand", "STD", "desk-tech", metal, 29, 89, {"office", "ergonomic", "travel"},
		"A stand that lifts the screen to eye level and folds to the size of a ruler.",
		"Carries up to eight kilos."},
	{"Pendant Light", "PND", "lighting", clay, 59, 199, {"dining", "ceramic", "led"},
		"A hand-thrown shade with two metres of cloth cable and a ceiling rose.",
		"Takes one E27 bulb; mounting by an electrician."},
	{"Wooden Puzzle", "PZL", "toys", wood, 14, 39, {"kids", "wood", "quiet-play"},
		"Twelve pieces that make a fox one way and a mountain the other.",
		"From two years; finished with beeswax."},
	{"Card Holder", "CRD", "office", leather, 19, 49, {"leather", "office", "gift"},
		"A stand for the cards that one hands out and the notes that one keeps.",
		"Wipe with a dry cloth."},
	{"Bed Pillow", "PLW", "bedding", cloth, 29, 95, {"bedroom", "soft", "washable"},
		"A pillow with an inner core and an outer cover that unzip, to make it higher or "
		"lower.",
		"Both parts wash at sixty degrees."},
	{"Herb Planter Box", "HRB", "pots", wood, 24, 74, {"plants", "herbs", "balcony"},
		"A long box for a sill or a rail, with three liners that lift out.",
		"Oil the outside every spring."},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const char *const closings[] = {
	"Made in small batches.",
	"Designed to be repaired.",
	"Ships in a box without plastic.",
	"Comes with a two-year guarantee.",
	"A favourite of our customers.",
	"Made by a family workshop.",
};

/* 2026-01-01T00:00:00Z: number 0; each further one is a little more than forty minutes older. */
#define NEWEST_US INT64_C(1767225600000000)
#define APART_US INT64_C(2417000000)

static uint64_t mix(uint64_t x);
static struct uuid id_of(unsigned number, int64_t created_at);
static int64_t price_of(const struct kind *kind, uint64_t dice);
static int64_t stock_of(uint64_t dice);
static struct str edition(struct scope *s, unsigned number);

struct sample_product sample_product(struct scope *s, unsigned number)
{
	const unsigned which = number % KINDS;
	const struct kind *kind = &kinds[which];
	const unsigned turn = number / KINDS % (COLLECTIONS * FINISHES);
	const char *collection = collections[(turn + 7 * which) % COLLECTIONS];
	const char *finish = kind->finishes[(turn + turn / COLLECTIONS + 3 * which) % FINISHES];
	const uint64_t dice = mix(number);
	struct sample_product product = {
		.category = kind->category,
		.tags = {kind->tags[0], kind->tags[1], kind->tags[2]},
		.price = price_of(kind, dice),
		.stock = stock_of(mix(dice)),
		.created_at = NEWEST_US - (int64_t)number * APART_US,
	};

	product.id = id_of(number, product.created_at);
	product.name = scope_format(
		s, "%s %s %s%.*s", collection, finish, kind->noun, STR_ARG(edition(s, number)));
	product.description =
		scope_format(s, "%s From the %s collection, in %s. %s %s", kind->what, collection,
			finish, kind->care, closings[dice % (sizeof closings / sizeof *closings)]);
	product.sku = scope_format(s, "%s-%05u", kind->code, number);
	return product;
}

/* SplitMix64's last steps: far numbers from near ones. */
static uint64_t mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* A UUIDv7 of that time; what is random in others is the number here. */
static struct uuid id_of(unsigned number, int64_t created_at)
{
	const uint64_t ms = (uint64_t)created_at / 1000;
	const uint64_t rest = mix(number + UINT64_C(0x10000000));
	struct uuid id;

	for (size_t i = 0; i < 6; i++)
		id.bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
	for (size_t i = 6; i < sizeof id.bytes; i++)
		id.bytes[i] = (uint8_t)(rest >> (6 * (i - 6)));
	id.bytes[6] = (uint8_t)(0x70 | (id.bytes[6] & 0x0f));
	id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3f));
	return id;
}

/* Within the kind's range, ending as prices in shops do. */
static int64_t price_of(const struct kind *kind, uint64_t dice)
{
	static const int endings[] = {0, 50, 90, 95, 99};
	const uint64_t range = (uint64_t)(kind->high - kind->low);

	return (kind->low + (int64_t)((dice >> 8) % range)) * 100 +
	       endings[(dice >> 40) % (sizeof endings / sizeof *endings)];
}

/* One in twenty is sold out, few are plenty. */
static int64_t stock_of(uint64_t dice)
{
	if (dice % 20 == 0)
		return 0;
	return 3 + (int64_t)((dice >> 8) % 40) + ((dice >> 16) % 8 == 0 ? 160 : 0);
}

/* Behind the name, once all combinations are used up: " II", " III", … */
static struct str edition(struct scope *s, unsigned number)
{
	static const char *const ones[] = {
		"", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"};
	const unsigned n = number / (KINDS * COLLECTIONS * FINISHES);

	return n == 0 ? STR("") : scope_format(s, " %s", ones[n + 1]);
}
