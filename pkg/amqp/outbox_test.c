/* SPDX-License-Identifier: Apache-2.0
 * Reading again what a person was told: pages without a gap, and where there is nothing to go on
 * from. */
#include "migrate/testing.h"

#include "amqp/outbox.h"
#include "amqp/relay.h"

enum { SHOWN_MAX = 256 };

static struct relay *relay;
static struct uuid ada, bob;

/* What the next look asks, and what it saw: "1 2 of 2 more", positions of events first. */
static struct {
	struct uuid person;
	int64_t after;
	int32_t limit;
	char shown[SHOWN_MAX];
	struct event first; /* texts of an ended task are not looked at */
} look;

static enum fault give_positions(struct task *t, struct job *job)
{
	(void)job;
	return relay_run(t, relay); /* and publishes nothing: it has no publisher */
}

static enum fault read_after(struct task *t, struct job *job)
{
	struct outbox_page page;
	size_t len = 0;

	(void)job;
	TRY(outbox_after(t, &look.person, look.after, look.limit, &page));
	look.first = page.count > 0 ? page.events[0] : (struct event){0};
	for (size_t i = 0; i < page.count; i++)
		len += (size_t)snprintf(look.shown + len, sizeof look.shown - len, "%lld ",
			(long long)page.events[i].position);
	snprintf(look.shown + len, sizeof look.shown - len, "of %lld%s%s", (long long)page.position,
		page.has_more ? " more" : "", page.resync ? " resync" : "");
	return OK;
}

static const char *after(int64_t position, int32_t limit)
{
	look.after = position;
	look.limit = limit;
	look.shown[0] = '\0';
	assert_int_equal(run(read_after), OK);
	return look.shown;
}

static void tell(const struct uuid *person, int64_t sequence)
{
	char sql[256], id[UUID_TEXT_LEN + 1];

	snprintf(sql, sizeof sql,
		"SELECT outbox_add('bodega.outboxtest.told', '%s', %lld, '%s', '{\"n\": 1}')",
		uuid_format(person, id).at, (long long)sequence, id);
	observe(sql);
}

static long long partition_of(const struct uuid *person)
{
	char sql[128], id[UUID_TEXT_LEN + 1];

	snprintf(sql, sizeof sql, "SELECT outbox_partition('%s')", uuid_format(person, id).at);
	return observe_number(sql);
}

/* Two people of one partition. */
static int set_up(void **state)
{
	(void)state;
	observe("TRUNCATE outbox, outbox_relays RESTART IDENTITY");
	observe("UPDATE outbox_partitions SET owner = NULL, lease_until = NULL, epoch = 0,"
		" position = 0, published = 0");
	relay = relay_new(NULL, "/outbox_test");
	look.person = ada = uuid_new();
	do
		bob = uuid_new();
	while (partition_of(&bob) != partition_of(&ada));
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_whole();
	relay_free(relay);
	return 0;
}

static int world_up(void **state)
{
	static const struct pg_statement *statements[64];
	static struct pg_schema schema = {.statements = statements};

	(void)state;
	for (size_t i = 0; i < relay_statement_count; i++)
		statements[schema.statement_count++] = relay_statements[i];
	statements[schema.statement_count++] = &outbox_after_statement;
	return migrated_world_begin("outbox_test", "orders", &schema, 2);
}

static int world_down(void **state)
{
	(void)state;
	migrated_world_end();
	return 0;
}

/* ---- tests ---- */

static void one_s_own_in_order_and_page_by_page(void **state)
{
	(void)state;
	assert_string_equal(after(OUTBOX_NOW, 10), "of 0");
	assert_string_equal(after(0, 10), "of 0");
	for (int n = 1; n <= 4; n++) {
		tell(&ada, n);
		tell(&bob, n);
	}
	assert_string_equal(after(0, 10), "of 0"); /* they have no position yet */
	assert_int_equal(run(give_positions), OK);
	assert_string_equal(after(0, 10), "1 3 5 7 of 8");
	assert_string_equal(after(0, 2), "1 3 of 8 more");
	assert_string_equal(after(3, 2), "5 7 of 8");
	assert_string_equal(after(7, 2), "of 8");
	assert_string_equal(after(8, 2), "of 8");
	assert_string_equal(after(OUTBOX_NOW, 2), "of 8");
	look.person = bob;
	assert_string_equal(after(1, 10), "2 4 6 8 of 8");
}

static void an_event_is_as_it_was_written(void **state)
{
	(void)state;
	tell(&ada, 7);
	assert_int_equal(run(give_positions), OK);
	assert_string_equal(after(0, 1), "1 of 1");
	assert_int_equal(look.first.sequence, 7);
	assert_int_equal(look.first.epoch, 1);
	assert_int_equal(look.first.partition, partition_of(&ada));
	assert_true(uuid_eq(&look.first.subject, &ada) && uuid_eq(&look.first.person, &ada));
}

static void from_what_is_not_kept_there_is_no_going_on(void **state)
{
	(void)state;
	for (int n = 1; n <= 4; n++)
		tell(&ada, n);
	assert_int_equal(run(give_positions), OK);
	observe("DELETE FROM outbox WHERE position <= 2");
	assert_string_equal(after(1, 10), "of 4 resync");
	assert_string_equal(after(2, 10), "3 4 of 4"); /* nothing behind it is missing */
	observe("DELETE FROM outbox");
	assert_string_equal(after(3, 10), "of 4 resync");
	assert_string_equal(after(4, 10), "of 4");
	assert_string_equal(after(5, 10), "of 4 resync"); /* of another database */
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(one_s_own_in_order_and_page_by_page),
		TEST(an_event_is_as_it_was_written),
		TEST(from_what_is_not_kept_there_is_no_going_on),
	};

	return cmocka_run_group_tests_name("outbox", tests, world_up, world_down);
}
