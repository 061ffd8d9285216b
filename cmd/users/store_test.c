/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

/* What the works below go by and leave behind; texts of an ended task are not looked at. */
static struct user ada;
static const struct password password = {.hash = {"v1$2b$04$a", 10}, .cost = 4};
static const struct password next_password = {.hash = {"v1$2b$06$b", 10}, .cost = 6};
static struct uuid session_id;
static struct token_hash tokens[8];

static struct {
	struct user user;
	bool is_there;
	int32_t cost_max;
	int32_t epoch;
	size_t count;
	struct uuid ids[8];
	bool signs[8];
} found;

static struct str asked; /* a name, a search */
static struct user_key after;
static const struct password *old = &password;
static const struct registration_proof *proof; /* of the next registration */

/* ---- works ---- */

static enum fault add(struct task *t, struct job *job)
{
	(void)job;
	return store_register(t, &ada, &password, &session_id, &tokens[0], proof);
}

static enum fault find(struct task *t, struct job *job)
{
	const bool is_email = memchr(asked.at, '@', asked.len) != NULL;
	struct password of;

	(void)job;
	TRY(store_find(t, is_email ? asked : STR_NONE, is_email ? STR_NONE : asked, &found.user,
		&of, &found.cost_max, &found.epoch));
	found.is_there = of.hash.at != NULL;
	return OK;
}

static enum fault get(struct task *t, struct job *job)
{
	(void)job;
	return store_get(t, &ada.id, &found.user);
}

static enum fault update(struct task *t, struct job *job)
{
	(void)job;
	return store_update(t, &ada);
}

static enum fault delete (struct task *t, struct job *job) {
	return store_delete(t, &ada.id, job->number);
}

static enum fault set_role(struct task *t, struct job *job)
{
	(void)job;
	return store_set_role(t, &ada.id, 1, &found.user);
}

static enum fault set_password(struct task *t, struct job *job)
{
	(void)job;
	return store_set_password(t, &ada.id, old, &next_password, &session_id);
}

static enum fault rehash(struct task *t, struct job *job)
{
	(void)job;
	return store_rehash(t, &ada.id, old, &next_password);
}

static void keep(const struct items *users)
{
	found.count = users->count;
	for (size_t i = 0; i < users->count && i < COUNT(found.ids); i++)
		found.ids[i] = ((const struct user *)users->at)[i].id;
}

static enum fault list(struct task *t, struct job *job)
{
	struct items users;

	TRY(store_list(t, &after, job->number, 2, &users));
	keep(&users);
	if (users.count > 0)
		after = (struct user_key){
			.created_at = ((struct user *)users.at)[users.count - 1].created_at,
			.id = found.ids[users.count - 1]};
	return OK;
}

static enum fault search(struct task *t, struct job *job)
{
	struct items users;

	TRY(store_search(t, asked, job->number != 0, 0, 8, &users));
	keep(&users);
	return OK;
}

static enum fault open_session(struct task *t, struct job *job)
{
	const struct uuid id = uuid_new();

	return store_open_session(t, &id, &ada.id, (int32_t)job->number, &tokens[7]);
}

/* Exchanges tokens[number / 8] for tokens[number % 8]. */
static enum fault refresh(struct task *t, struct job *job)
{
	struct uuid of_session;

	return store_refresh(
		t, &tokens[job->number / 8], &tokens[job->number % 8], &of_session, &found.user);
}

static enum fault end_session(struct task *t, struct job *job)
{
	(void)job;
	return store_end_session(t, &session_id);
}

static enum fault end_all(struct task *t, struct job *job)
{
	(void)job;
	return store_end_sessions(t, &ada.id);
}

/* A page of one, of the last minute: how many there are in job->text, and where the next begins. */
static enum fault ended(struct task *t, struct job *job)
{
	struct ended_page page;

	TRY(store_ended_sessions(t, 60, job->number, 1, &page));
	const struct ended_session *first = page.sessions.at;
	snprintf(job->text, sizeof job->text, "%zu%s", page.sessions.count,
		page.sessions.count > 0 && !uuid_eq(&first->user_id, &ada.id) ? " of another" : "");
	job->number = page.before;
	return OK;
}

static enum fault sweep(struct task *t, struct job *job)
{
	size_t count;

	TRY(store_sweep_sessions(t, &count));
	job->number = (int64_t)count;
	return OK;
}

static enum fault add_key(struct task *t, struct job *job)
{
	const struct stored_key key = {
		.kid = job->number == 1 ? STR("one") : STR("two"),
		.sealed = STR("\x00\xff"),
		.jwk = STR("{\"kty\":\"RSA\"}"),
	};

	return store_add_first_key(t, &key);
}

static enum fault read_keys(struct task *t, struct job *job)
{
	struct items keys;

	TRY(store_keys(t, &keys));
	found.count = keys.count;
	for (size_t i = 0; i < keys.count; i++) {
		const struct stored_key *key = (struct stored_key *)keys.at + i;
		found.signs[i] = key->signs;
		snprintf(job->text + strlen(job->text), sizeof job->text - strlen(job->text),
			"%.*s ", STR_ARG(key->kid));
	}
	return OK;
}

static enum fault run_with(enum fault (*work)(struct task *t, struct job *job), int64_t number)
{
	struct job job = {.work = work, .number = number};

	job_finish(&job);
	return job.fault;
}

static enum fault exchange(int from, int to)
{
	return run_with(refresh, from * 8 + to);
}

static void new_ada(void)
{
	ada = (struct user){
		.id = uuid_new(),
		.email = STR("Ada@Example.com"),
		.username = STR("Ada"),
		.full_name = STR("Ada 100% Lovelace"),
		.phone = STR("1"),
		.address = {.city = STR("Graz")},
	};
	session_id = uuid_new();
}

static int nobody(void **state)
{
	(void)state;
	forget_users();
	for (size_t i = 0; i < COUNT(tokens); i++)
		tokens[i].bytes[0] = (uint8_t)i;
	old = &password;
	memset(&found, 0, sizeof found);
	new_ada();
	return 0;
}

static int somebody(void **state)
{
	nobody(state);
	assert_int_equal(run(add), OK);
	return 0;
}

/* ---- the schema ---- */

static void statements_fit_the_schema(void **state)
{
	(void)state;
	assert_statements_fit(&store_schema, "signing_keys");
}

/* ---- accounts ---- */

static void registration_writes_account_and_session(void **state)
{
	(void)state;
	assert_int_equal(run(add), OK);
	assert_int_equal(ada.version, 1);
	assert_true(ada.created_at > 0 && ada.created_at == ada.updated_at);
	assert_string_equal(
		observe("SELECT concat_ws(' ', email, username, full_name, phone, address, role,"
			" password_hash, password_cost) FROM users"),
		"Ada@Example.com Ada Ada 100% Lovelace 1 {\"city\":\"Graz\"} customer v1$2b$04$a "
		"4");
	assert_string_equal(
		observe("SELECT extract(days FROM expires_at - created_at) FROM sessions"), "30");
	assert_int_equal(observe_number("SELECT count(*) FROM refresh_tokens"), 1);
}

static void names_are_taken_in_any_case(void **state)
{
	static const struct {
		struct str email;
		struct str username;
		enum fault fault;
	} rows[] = {
		{{"ada@EXAMPLE.com", 15}, {NULL, 0}, FAULT_EMAIL_TAKEN},
		{{"b@example.com", 13}, {"aDA", 3}, FAULT_USERNAME_TAKEN},
		{{"b@example.com", 13}, {NULL, 0}, OK},
		{{"c@example.com", 13}, {NULL, 0}, OK}, /* no username is no name */
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		new_ada();
		ada.email = rows[i].email;
		ada.username = rows[i].username;
		tokens[0].bytes[1] = (uint8_t)i + 1;
		if (run(add) != rows[i].fault)
			fail_row(i, "not %s", fault_info(rows[i].fault)->name);
	}
	assert_int_equal(observe_number("SELECT count(*) FROM sessions"), 3);
}

static void accounts_are_found_in_any_case(void **state)
{
	static const struct {
		const char *name;
		bool is_there;
	} rows[] = {
		{"ada@example.COM", true},
		{"ADA", true},
		{"ada@example.org", false},
		{"ad", false},
		{"ad_", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		asked = str_from(rows[i].name);
		assert_int_equal(run(find), OK);
		if (found.is_there != rows[i].is_there)
			fail_row(i, "%s", rows[i].name);
		assert_int_equal(found.cost_max, 4);
	}
	observe("UPDATE users SET password_cost = 9");
	assert_int_equal(run(find), OK);
	assert_int_equal(found.cost_max, 9); /* whoever it is of */
}

static void a_change_meets_the_version_that_was_read(void **state)
{
	(void)state;
	ada.full_name = STR_NONE;
	ada.address = (struct address){0};
	assert_int_equal(run(update), OK);
	assert_int_equal(ada.version, 2);
	assert_string_equal(observe("SELECT concat_ws(' ', username, full_name, address, version)"
				    " FROM users"),
		"Ada 2");
	ada.version = 1;
	assert_int_equal(run(update), FAULT_PRECONDITION_FAILED);
	assert_int_equal(observe_number("SELECT version FROM users"), 2);
}

static void deleting_leaves_nothing_of_the_person(void **state)
{
	(void)state;
	assert_int_equal(run_with(delete, 7), FAULT_PRECONDITION_FAILED);
	assert_int_equal(run_with(delete, 1), OK);
	assert_string_equal(observe("SELECT concat_ws(' ', email, username, full_name, phone,"
				    " address, password_hash, role) FROM users"),
		"customer");
	assert_int_equal(run_with(delete, 0), FAULT_NOT_FOUND);
	assert_int_equal(run(get), FAULT_NOT_FOUND);
	assert_int_equal(run(update), FAULT_PRECONDITION_FAILED);
	assert_int_equal(run(set_role), FAULT_NOT_FOUND);
	assert_int_equal(run_with(open_session, 1), FAULT_CONFLICT);
	assert_int_equal(exchange(0, 1), FAULT_BAD_REFRESH_TOKEN);
	asked = STR("ada@example.com");
	assert_int_equal(run(find), OK);
	assert_false(found.is_there);
	new_ada();
	tokens[0].bytes[1] = 1;
	assert_int_equal(run(add), OK); /* the names are free again */
}

static void pages_are_newest_first(void **state)
{
	struct uuid ids[5];

	(void)state;
	for (uint8_t i = 0; i < 5; i++) {
		char email[32];
		new_ada();
		snprintf(email, sizeof email, "%u@example.com", i);
		ada.email = str_from(email);
		ada.username = STR_NONE;
		tokens[0].bytes[1] = i;
		ids[i] = ada.id;
		assert_int_equal(run(add), OK);
	}
	observe("UPDATE users SET created_at = '2026-01-01'"
		" WHERE email IN ('0@example.com', '1@example.com', '2@example.com')");
	after = user_key_first;
	for (size_t left = 5; left > 0; left -= found.count) {
		assert_int_equal(run_with(list, 0), OK);
		assert_int_equal(found.count, left < 2 ? left : 2);
		for (size_t i = 0; i < found.count; i++) /* ties by id */
			assert_true(uuid_eq(&found.ids[i], &ids[left - 1 - i]));
	}
	assert_int_equal(run_with(list, 0), OK);
	assert_int_equal(found.count, 0);
	after = user_key_first;
	assert_int_equal(run_with(list, 4), OK);
	assert_int_equal(found.count, 1);
	assert_true(uuid_eq(&found.ids[0], &ids[0]));
}

static void searches_take_the_text_as_it_is(void **state)
{
	static const struct {
		const char *q;
		bool by_email;
		size_t count;
	} rows[] = {
		{"ada", false, 2},
		{"ADA", false, 2},
		{"lovelace", false, 1},
		{"100%", false, 1},
		{"%", false, 1},
		{"_", false, 0},
		{"\\", false, 0},
		{"example", false, 0},
		{"EXAMPLE", true, 2},
		{"' OR true --", true, 0},
	};

	(void)state;
	new_ada();
	ada.email = STR("ada.b@example.com");
	ada.username = STR("ada.b");
	ada.full_name = STR_NONE;
	tokens[0].bytes[1] = 1;
	assert_int_equal(run(add), OK);
	for (size_t i = 0; i < COUNT(rows); i++) {
		asked = str_from(rows[i].q);
		assert_int_equal(run_with(search, rows[i].by_email), OK);
		if (found.count != rows[i].count)
			fail_row(i, "%s: %zu", rows[i].q, found.count);
	}
	asked = STR("ada");
	assert_int_equal(run_with(search, 0), OK);
	assert_false(uuid_eq(&found.ids[0], &ada.id)); /* the exact name before the newer one */
}

/* ---- sessions ---- */

static long long live_tokens(void)
{
	return observe_number("SELECT count(*) FROM refresh_tokens t"
			      " JOIN sessions s ON s.id = t.session_id"
			      " JOIN users u ON u.id = s.user_id"
			      " WHERE t.used_at IS NULL AND t.revoked_at IS NULL"
			      " AND s.revoked_at IS NULL AND s.epoch = u.session_epoch");
}

static void tokens_are_good_once(void **state)
{
	(void)state;
	assert_int_equal(exchange(0, 1), OK);
	assert_int_equal(exchange(1, 2), OK);
	assert_int_equal(live_tokens(), 1);
	assert_int_equal(exchange(0, 3), FAULT_BAD_REFRESH_TOKEN); /* its successor was used */
	assert_int_equal(live_tokens(), 0);
	assert_int_equal(exchange(2, 3), FAULT_BAD_REFRESH_TOKEN);
	assert_int_equal(exchange(6, 7), FAULT_BAD_REFRESH_TOKEN); /* nobody's */
}

static void a_lost_answer_may_be_asked_for_again(void **state)
{
	(void)state;
	assert_int_equal(exchange(0, 1), OK);
	assert_int_equal(exchange(0, 2), OK);
	assert_int_equal(exchange(0, 3), OK);
	assert_int_equal(live_tokens(), 1);
	assert_int_equal(exchange(3, 4), OK);
	assert_int_equal(live_tokens(), 1);
	assert_int_equal(exchange(1, 5), FAULT_BAD_REFRESH_TOKEN);
	assert_int_equal(live_tokens(), 0);
}

/* Ten seconds from the first use, not from the last. */
static void but_not_for_long(void **state)
{
	(void)state;
	assert_int_equal(exchange(0, 1), OK);
	observe("UPDATE refresh_tokens SET used_at = used_at - interval '9 seconds'"
		" WHERE used_at IS NOT NULL");
	assert_int_equal(exchange(0, 2), OK);
	observe("UPDATE refresh_tokens SET used_at = used_at - interval '2 seconds'"
		" WHERE used_at IS NOT NULL");
	assert_int_equal(exchange(0, 3), FAULT_BAD_REFRESH_TOKEN);
	assert_int_equal(live_tokens(), 0);
}

static void sessions_end_after_a_month(void **state)
{
	(void)state;
	observe("UPDATE sessions SET expires_at = now()");
	assert_int_equal(exchange(0, 1), FAULT_BAD_REFRESH_TOKEN);
	assert_string_equal(observe("SELECT revoked_at IS NULL FROM sessions"), "t");
	assert_int_equal(run_with(sweep, 0), OK);
	assert_int_equal(observe_number("SELECT count(*) FROM refresh_tokens"), 1);
	observe("UPDATE sessions SET expires_at = now() - interval '25 hours'");
	struct job job = {.work = sweep};
	job_finish(&job);
	assert_int_equal(job.number, 1);
	assert_int_equal(observe_number("SELECT count(*) FROM refresh_tokens"), 0);
}

static void each_session_ends_alone_or_all_together(void **state)
{
	(void)state;
	assert_int_equal(run_with(open_session, 1), OK);
	assert_int_equal(live_tokens(), 2);
	assert_int_equal(run(end_session), OK);
	assert_int_equal(exchange(0, 1), FAULT_BAD_REFRESH_TOKEN);
	assert_int_equal(live_tokens(), 1);
	assert_int_equal(run(end_all), OK);
	assert_int_equal(exchange(7, 1), FAULT_BAD_REFRESH_TOKEN);
	assert_int_equal(live_tokens(), 0);
}

static void a_new_role_ends_all_sessions(void **state)
{
	(void)state;
	assert_int_equal(run(set_role), OK);
	assert_int_equal(found.user.role, 1);
	assert_int_equal(found.user.version, 2);
	assert_int_equal(exchange(0, 1), FAULT_BAD_REFRESH_TOKEN);
}

static void a_new_password_ends_all_other_sessions(void **state)
{
	(void)state;
	assert_int_equal(run_with(open_session, 1), OK);
	assert_int_equal(run(set_password), OK);
	assert_string_equal(observe("SELECT concat_ws(' ', password_hash, password_cost)"
				    " FROM users"),
		"v1$2b$06$b 6");
	assert_int_equal(exchange(7, 1), FAULT_BAD_REFRESH_TOKEN);
	assert_int_equal(exchange(0, 1), OK);
	assert_int_equal(run(set_password), FAULT_CONFLICT); /* it is not the old one any more */
}

/* Its access token may still be good for a while. */
static void a_session_that_is_over_is_not_kept(void **state)
{
	(void)state;
	assert_int_equal(run(end_all), OK);
	assert_int_equal(run(set_password), OK);
	assert_int_equal(exchange(0, 1), FAULT_BAD_REFRESH_TOKEN);
}

static void who_read_the_old_account_opens_no_session(void **state)
{
	(void)state;
	asked = STR("ada");
	assert_int_equal(run(find), OK);
	assert_int_equal(run(set_password), OK);
	assert_int_equal(run_with(open_session, found.epoch), FAULT_CONFLICT);
	assert_int_equal(observe_number("SELECT count(*) FROM sessions"), 1);
}

/* One is being opened while another transaction ends all: it is not left over. */
static void a_session_being_opened_ends_too(void **state)
{
	char sql[512], id[UUID_TEXT_LEN + 1];

	(void)state;
	snprintf(sql, sizeof sql,
		"BEGIN; WITH s AS (INSERT INTO sessions (id, user_id, epoch, expires_at)"
		" SELECT gen_random_uuid(), id, session_epoch, now() + interval '1 day'"
		" FROM users WHERE id = '%s' RETURNING id)"
		" INSERT INTO refresh_tokens (hash, session_id)"
		" SELECT '\\x05' || substr(decode(repeat('00', 32), 'hex'), 2), id FROM s",
		uuid_format(&ada.id, id).at);
	observe(sql);
	assert_int_equal(run(set_role), OK);
	observe("COMMIT");
	assert_int_equal(exchange(5, 1), FAULT_BAD_REFRESH_TOKEN);
	assert_int_equal(live_tokens(), 0);
}

/* What is not told of as ended has not begun. */
static void a_session_waits_for_the_end_of_all_others(void **state)
{
	struct job job = {.work = open_session, .number = 1};

	(void)state;
	observe("BEGIN");
	observe("UPDATE users SET session_epoch = session_epoch + 1");
	job_start(&job);
	turn_until(waiting_for_lock() == 1);
	observe("COMMIT");
	jobs_finish(&job, 1);
	assert_int_equal(job.fault, FAULT_CONFLICT);
	assert_int_equal(observe_number("SELECT count(*) FROM sessions"), 1);
}

static const char *told(void)
{
	return observe("SELECT string_agg(concat_ws(' ', replace(type, 'bodega.', ''),"
		       " subject = person, data->>'reason'), ', ' ORDER BY id) FROM outbox");
}

static void ended_sessions_are_told(void **state)
{
	(void)state;
	assert_int_equal(run_with(open_session, 1), OK);
	assert_int_equal(run(end_session), OK);
	assert_int_equal(run(end_session), OK); /* it was over */
	assert_string_equal(told(), "session.ended f logged_out");
	assert_int_equal(run(end_all), OK);
	assert_string_equal(told(), "session.ended f logged_out, session.ended f logged_out");
	assert_int_equal(
		observe_number("SELECT count(*) FROM outbox JOIN sessions ON sessions.id = subject"
			       " AND user_id = person"),
		2);
}

static void sessions_that_end_with_something_else_are_told(void **state)
{
	(void)state;
	assert_int_equal(run_with(open_session, 1), OK);
	assert_int_equal(run(set_password), OK); /* keeps one */
	assert_string_equal(told(), "session.ended f password_changed");
	assert_int_equal(run(set_role), OK);
	assert_string_equal(
		told(), "session.ended f password_changed, session.ended f role_changed");
}

static void a_deleted_account_is_told_after_its_sessions(void **state)
{
	(void)state;
	assert_int_equal(run(update), OK);
	assert_string_equal(told(), "");
	assert_int_equal(run_with(delete, 0), OK);
	assert_string_equal(told(), "session.ended f account_deleted, user.deleted t");
}

static void which_sessions_ended_of_late(void **state)
{
	struct job job = {.work = ended, .number = INT64_MAX};

	(void)state;
	assert_int_equal(run_with(open_session, 1), OK);
	assert_int_equal(run_with(delete, 0), OK); /* two sessions, and the account */
	job_finish(&job);
	assert_string_equal(job.text, "1");
	assert_int_equal(job.number,
		observe_number("SELECT max(id) FROM outbox WHERE type = 'bodega.session.ended'"));
	job_finish(&job);
	assert_string_equal(job.text, "1");
	assert_int_equal(job.number,
		observe_number("SELECT min(id) FROM outbox WHERE type = 'bodega.session.ended'"));
	job_finish(&job);
	assert_string_equal(job.text, "0");
	assert_int_equal(job.number, 0);

	observe("UPDATE outbox SET at = now() - interval '2 minutes'");
	job.number = INT64_MAX;
	job_finish(&job);
	assert_string_equal(job.text, "0");
}

/* Refreshes of one token at the same time: none fails, one token is good afterwards. */
static void refreshes_at_once_leave_one_token(void **state)
{
	struct job jobs[6];
	bool is_good[6] = {false};
	int good = 0;

	(void)state;
	for (int i = 0; i < 6; i++) {
		jobs[i] = (struct job){.work = refresh, .number = i + 1};
		job_start(&jobs[i]);
	}
	jobs_finish(jobs, COUNT(jobs));
	for (int i = 0; i < 6; i++)
		assert_int_equal(jobs[i].fault, OK);
	assert_int_equal(live_tokens(), 1);
	for (int i = 0; i < 6; i++) {
		char sql[128];
		snprintf(sql, sizeof sql,
			"SELECT revoked_at IS NULL FROM refresh_tokens"
			" WHERE get_byte(hash, 0) = %d",
			i + 1);
		is_good[i] = strcmp(observe(sql), "t") == 0;
		good += is_good[i];
	}
	assert_int_equal(good, 1);
}

/* Whoever comes first, the end is the end. */
static void logging_out_beats_a_refresh(void **state)
{
	struct job jobs[3] = {{.work = refresh, .number = 1}, {.work = end_session},
		{.work = refresh, .number = 2}};

	(void)state;
	for (size_t i = 0; i < COUNT(jobs); i++)
		job_start(&jobs[i]);
	jobs_finish(jobs, COUNT(jobs));
	assert_int_equal(jobs[1].fault, OK);
	assert_int_equal(live_tokens(), 0);
	assert_whole();
}

static void a_rehash_is_no_change(void **state)
{
	(void)state;
	assert_int_equal(run(rehash), OK);
	assert_int_equal(run(rehash), OK); /* another login was first */
	assert_string_equal(observe("SELECT concat_ws(' ', password_hash, version) FROM users"),
		"v1$2b$06$b 1");
	assert_int_equal(exchange(0, 1), OK);
}

/* ---- keys ---- */

static void the_first_key_is_one(void **state)
{
	struct job jobs[2] = {{.work = add_key, .number = 1}, {.work = add_key, .number = 2}};
	struct job look = {.work = read_keys};

	(void)state;
	observe("TRUNCATE signing_keys");
	for (size_t i = 0; i < COUNT(jobs); i++)
		job_start(&jobs[i]);
	jobs_finish(jobs, COUNT(jobs));
	assert_int_equal(jobs[0].fault, OK);
	assert_int_equal(jobs[1].fault, OK);
	job_finish(&look);
	assert_int_equal(found.count, 1);
	assert_true(found.signs[0]);
	assert_string_equal(observe("SELECT sealed FROM signing_keys"), "\\x00ff");
}

static void a_key_signs_when_its_time_has_come(void **state)
{
	struct job look = {.work = read_keys};

	(void)state;
	observe("TRUNCATE signing_keys;"
		" INSERT INTO signing_keys (kid, slot, sealed, jwk, created_at, signs_at,"
		" retired_at) VALUES"
		" ('gone', 1, 'x', '{}', now() - interval '4 days', now() - interval '4 days', "
		"now()),"
		" ('old', 2, 'x', '{}', now() - interval '3 days', now() - interval '3 days', "
		"NULL),"
		" ('now', 3, 'x', '{}', now() - interval '2 days', now() - interval '2 days', "
		"NULL),"
		" ('soon', 4, 'x', '{}', now() - interval '1 day', now() + interval '1 hour', "
		"NULL)");
	job_finish(&look);
	assert_string_equal(look.text, "old now soon ");
	assert_false(found.signs[0]);
	assert_true(found.signs[1]);
	assert_false(found.signs[2]);
}

static int setup(void **state)
{
	(void)state;
	return users_world_begin("users_store_test");
}

static int teardown(void **state)
{
	(void)state;
	migrated_world_end();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(statements_fit_the_schema),
		cmocka_unit_test_setup(registration_writes_account_and_session, nobody),
		cmocka_unit_test_setup(names_are_taken_in_any_case, somebody),
		cmocka_unit_test_setup(accounts_are_found_in_any_case, somebody),
		cmocka_unit_test_setup(a_change_meets_the_version_that_was_read, somebody),
		cmocka_unit_test_setup(deleting_leaves_nothing_of_the_person, somebody),
		cmocka_unit_test_setup(pages_are_newest_first, nobody),
		cmocka_unit_test_setup(searches_take_the_text_as_it_is, somebody),
		cmocka_unit_test_setup(tokens_are_good_once, somebody),
		cmocka_unit_test_setup(a_lost_answer_may_be_asked_for_again, somebody),
		cmocka_unit_test_setup(but_not_for_long, somebody),
		cmocka_unit_test_setup(sessions_end_after_a_month, somebody),
		cmocka_unit_test_setup(each_session_ends_alone_or_all_together, somebody),
		cmocka_unit_test_setup(a_new_role_ends_all_sessions, somebody),
		cmocka_unit_test_setup(a_new_password_ends_all_other_sessions, somebody),
		cmocka_unit_test_setup(a_session_that_is_over_is_not_kept, somebody),
		cmocka_unit_test_setup(who_read_the_old_account_opens_no_session, somebody),
		cmocka_unit_test_setup(a_session_being_opened_ends_too, somebody),
		cmocka_unit_test_setup(a_session_waits_for_the_end_of_all_others, somebody),
		cmocka_unit_test_setup(ended_sessions_are_told, somebody),
		cmocka_unit_test_setup(sessions_that_end_with_something_else_are_told, somebody),
		cmocka_unit_test_setup(a_deleted_account_is_told_after_its_sessions, somebody),
		cmocka_unit_test_setup(which_sessions_ended_of_late, somebody),
		cmocka_unit_test_setup(refreshes_at_once_leave_one_token, somebody),
		cmocka_unit_test_setup(logging_out_beats_a_refresh, somebody),
		cmocka_unit_test_setup(a_rehash_is_no_change, somebody),
		cmocka_unit_test(the_first_key_is_one),
		cmocka_unit_test(a_key_signs_when_its_time_has_come),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
