/* SPDX-License-Identifier: Apache-2.0
 * Idempotency-Key (pkg/service/keyed.h) on a real table: what is done once, what is answered again,
 * and what is left to be tried again. */
#include "testing.h"

#include "http/reply.h"
#include "service/keyed.h"

/* A request for a category, with a key; what came of it. */
struct keyed_job {
	struct job job;
	const char *key;
	const char *body;
	struct uuid caller;
	enum fault refuse; /* the work ends so */
	bool ran;
	int status;
	char answer[512];
	char location[64];
	char etag[16];
};

static unsigned worked;

static enum fault make_category(struct task *t, struct pg_tx *tx, const struct request *request,
	struct reply *reply, void *arg)
{
	const struct keyed_job *j = arg;
	struct category category = {.slug = STR("c"), .name = request->body};

	worked++;
	TRY(store_category_insert(t, tx, &category));
	if (j->refuse != OK)
		return fail(&t->scope, j->refuse, "as the test wants it");
	reply_location(reply, "/c/%.*s", STR_ARG(category.slug));
	reply_version(reply, 7);
	return reply_json(reply, 201, scope_format(&t->scope, "{\"worked\":%u}", worked));
}

static enum fault ask(struct task *t, struct job *job)
{
	struct keyed_job *j = CONTAINER_OF(job, struct keyed_job, job);
	const struct header header = {STR("idempotency-key"), str_from(j->key)};
	const struct request request = {
		.method = STR("POST"),
		.path = STR("/api/v1/categories"),
		.body = str_from(j->body),
		.headers = &header,
		.header_count = j->key != NULL,
		.caller = {.user_id = j->caller, .actor = STR("user:x")},
	};
	struct reply reply = {.arena = t->scope.arena};

	TRY(keyed_run(t, &request, &reply, make_category, j, &j->ran));
	j->status = reply.status;
	snprintf(j->answer, sizeof j->answer, "%.*s", STR_ARG(reply.body));
	snprintf(j->etag, sizeof j->etag, "%.*s", STR_ARG(reply.etag));
	j->location[0] = '\0';
	for (size_t i = 0; i < reply.header_count; i++)
		snprintf(j->location, sizeof j->location, "%.*s", STR_ARG(reply.headers[i].value));
	return OK;
}

static struct keyed_job with_key(const char *key, const char *body)
{
	return (struct keyed_job){.job.work = ask, .key = key, .body = body, .caller = {{1}}};
}

static enum fault sent(struct keyed_job *j)
{
	job_finish(&j->job);
	return j->job.fault;
}

static int begin(void **state)
{
	worked = 0;
	return store_empty(state);
}

static void a_repeat_is_answered_not_done(void **state)
{
	struct keyed_job first = with_key("k", "Name");
	struct keyed_job again = first;
	struct keyed_job other_body = with_key("k", "Other");

	(void)state;
	assert_int_equal(sent(&first), OK);
	assert_true(first.ran);
	assert_int_equal(sent(&again), OK);
	assert_false(again.ran);
	assert_int_equal(worked, 1);
	assert_int_equal(again.status, 201);
	assert_string_equal(again.answer, "{\"worked\":1}");
	assert_string_equal(again.location, "/c/c");
	assert_string_equal(again.etag, "7");
	assert_int_equal(sent(&other_body), FAULT_KEY_REUSED);
	assert_whole();
}

static void keys_belong_to_their_callers(void **state)
{
	struct keyed_job mine = with_key("k", "Name");
	struct keyed_job theirs = with_key("k", "Other");

	(void)state;
	theirs.caller.bytes[0] = 2;
	assert_int_equal(sent(&mine), OK);
	observe("DELETE FROM categories");
	assert_int_equal(sent(&theirs), OK);
	assert_true(theirs.ran);
}

/* 409 stays 409 although it would succeed now. */
static void a_refusal_is_answered_again(void **state)
{
	struct keyed_job first = with_key("k", "Name");
	struct keyed_job again = first;

	(void)state;
	observe("INSERT INTO categories (slug, name, path) VALUES ('c', 'C', 'c')");
	assert_int_equal(sent(&first), OK);
	assert_int_equal(first.status, 409);
	assert_false(first.ran);
	observe("DELETE FROM categories");
	assert_int_equal(sent(&again), OK);
	assert_int_equal(again.status, 409);
	assert_string_equal(again.answer, first.answer);
	assert_int_equal(worked, 1);
	assert_whole();
}

static void what_failed_is_tried_again(void **state)
{
	static const enum fault faults[] = {
		FAULT_INVALID, FAULT_UNAVAILABLE, FAULT_PRECONDITION_FAILED, FAULT_ORDER_BUSY};

	for (size_t i = 0; i < COUNT(faults); i++) {
		struct keyed_job failing = with_key("k", "Name");
		struct keyed_job again = failing;

		(void)begin(state);
		failing.refuse = faults[i];
		assert_int_equal(sent(&failing), faults[i]);
		assert_whole(); /* until then the key is busy */
		assert_int_equal(observe_number("SELECT count(*) FROM categories"), 0);
		assert_int_equal(sent(&again), OK);
		assert_true(again.ran);
	}
	assert_whole();
}

static void bad_keys_are_named(void **state)
{
	static const char *const keys[] = {"", "a b", "\x7f", "\xc3\xa4"};
	char big[KEY_CHARS_MAX + 2] = {0};

	(void)state;
	memset(big, 'k', KEY_CHARS_MAX + 1);
	for (size_t i = 0; i <= COUNT(keys); i++) {
		struct keyed_job j = with_key(i < COUNT(keys) ? keys[i] : big, "Name");

		assert_int_equal(sent(&j), FAULT_INVALID);
		assert_int_equal(j.job.errors, 1);
	}
	assert_int_equal(worked, 0);
}

static void twenty_at_once_are_one(void **state)
{
	static struct keyed_job jobs[20];
	size_t ran = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(jobs); i++) {
		jobs[i] = with_key("k", "Name");
		job_start(&jobs[i].job);
	}
	for (size_t i = 0; i < COUNT(jobs); i++)
		turn_until(jobs[i].job.task == NULL);
	for (size_t i = 0; i < COUNT(jobs); i++) {
		ran += jobs[i].ran;
		assert_true(jobs[i].job.fault == OK || jobs[i].job.fault == FAULT_KEY_BUSY);
		if (jobs[i].job.fault == OK)
			assert_string_equal(jobs[i].answer, "{\"worked\":1}");
	}
	assert_int_equal(ran, 1);
	assert_int_equal(worked, 1);
	assert_whole();
}

/* Whichever wait fails or ends: done and kept, or neither. */
static void every_wait_may_fail(void **state)
{
	unsigned n = 0;
	bool reached = true;

	while (reached) {
		struct keyed_job failing = with_key("k", "Name");
		struct keyed_job again = failing;

		(void)begin(state);
		failing.job.inject_at = ++n;
		failing.job.inject_fault = FAULT_UNAVAILABLE;
		(void)sent(&failing);
		reached = failing.job.waits >= n;
		assert_whole();
		assert_int_equal(observe_number("SELECT count(*) FROM categories"),
			observe_number("SELECT count(*) FROM idempotency_keys"));
		assert_int_equal(sent(&again), OK);
		assert_int_equal(again.status, 201);
		assert_int_equal(observe_number("SELECT count(*) FROM categories"), 1);
	}
	assert_true(n > 5);
}

static enum fault sweep(struct task *t, struct job *job)
{
	(void)job;
	return keyed_sweep(t);
}

static void keys_run_out(void **state)
{
	struct keyed_job first = with_key("k", "Name");
	struct keyed_job late = with_key("k", "Other");
	struct job job = {.work = sweep};

	(void)state;
	assert_int_equal(sent(&first), OK);
	observe("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'");
	observe("DELETE FROM categories");
	assert_int_equal(sent(&late), OK);
	assert_true(late.ran);
	observe("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'");
	job_finish(&job);
	assert_int_equal(observe_number("SELECT count(*) FROM idempotency_keys"), 0);
}

int keyed_tests_run(void)
{
#define TEST(name_) cmocka_unit_test_setup(name_, begin)
	const struct CMUnitTest tests[] = {
		TEST(a_repeat_is_answered_not_done),
		TEST(keys_belong_to_their_callers),
		TEST(a_refusal_is_answered_again),
		TEST(what_failed_is_tried_again),
		TEST(bad_keys_are_named),
		TEST(twenty_at_once_are_one),
		TEST(every_wait_may_fail),
		TEST(keys_run_out),
	};

	return cmocka_run_group_tests_name("idempotency keys", tests, store_begin, store_end);
}
