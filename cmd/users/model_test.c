/* SPDX-License-Identifier: Apache-2.0 */
#include "base/testing.h"

#include "model.h"
#include "json/write.h"

/* Reads a registration and checks it; the account, or the names of the bad fields. */
static enum fault register_from(
	struct scope *s, const char *body, struct user *user, char bad[TEST_SHOWN_MAX])
{
	struct registration wanted = {0};
	const enum fault read = json_read(s, str_from(body), &registration_table, &wanted);
	const enum fault fault = user_from_registration(s, read, &wanted, user);
	size_t len = 0;

	bad[0] = '\0';
	for (const struct field_error *e = s->errors; e != NULL; e = e->next)
		len += (size_t)snprintf(bad + len, TEST_SHOWN_MAX - len, "%s%.*s",
			len > 0 ? " " : "", STR_ARG(e->field));
	return fault;
}

#define GOOD "\"email\":\"a@b.co\",\"password\":\"correct horse\""

static void registrations(void **state)
{
	static const struct {
		const char *body;
		const char *bad; /* the fields that are wrong; "": it becomes an account */
		const char *name; /* of the account */
	} rows[] = {
		{"{" GOOD "}", "", NULL},
		{"{" GOOD ",\"full_name\":\"Ada L\"}", "", "Ada L"},
		{"{" GOOD ",\"name\":\"Ada L\"}", "", "Ada L"},
		{"{" GOOD ",\"full_name\":\"Ada L\",\"name\":\"A\"}", "", "Ada L"},
		{"{" GOOD ",\"first_name\":\"Ada\",\"last_name\":\"L\"}", "", "Ada L"},
		{"{" GOOD ",\"first_name\":\"Ada\"}", "", "Ada"},
		{"{" GOOD ",\"last_name\":\"L\"}", "", "L"},
		{"{" GOOD ",\"username\":\"ada.l-1_x\"}", "", NULL},
		{"{" GOOD ",\"phone\":\"1\",\"address\":{\"city\":\"Graz\"}}", "", NULL},
		{"{}", "email password", NULL},
		{"{" GOOD ",\"role\":\"admin\"}", "role", NULL},
		{"{\"email\":\"nobody\",\"password\":\"short\",\"username\":\"a b c\"}",
			"password email username", NULL},
		{"{\"email\":7,\"password\":\"password123\"}", "email password", NULL},
		{"{", "", NULL},
		{"{" GOOD ",\"username\":\"ab\"}", "username", NULL},
		{"{" GOOD ",\"username\":\"a@b.co\"}", "username", NULL},
		{"{" GOOD ",\"username\":\"ada l\"}", "username", NULL},
		{"{\"email\":\"a@b.co\",\"password\":\"1234567\"}", "password", NULL},
		{"{\"email\":\"a@b.co\",\"password\":\"Password123\"}", "password", NULL},
		{"{\"email\":\"nobody\",\"password\":\"password123\"}", "email password", NULL},
		{"{\"email\":\"@b.co\",\"password\":\"correct horse\"}", "email", NULL},
		{"{\"email\":\"a@b\",\"password\":\"correct horse\"}", "email", NULL},
		{"{\"email\":\"a@.co\",\"password\":\"correct horse\"}", "email", NULL},
		{"{\"email\":\"a@b.\",\"password\":\"correct horse\"}", "email", NULL},
		{"{\"email\":\"a@b@c.de\",\"password\":\"correct horse\"}", "email", NULL},
		{"{\"email\":\"a b@c.de\",\"password\":\"correct horse\"}", "email", NULL},
		{"{\"email\":\"a@c.de\\n\",\"password\":\"correct horse\"}", "email", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		char bad[TEST_SHOWN_MAX];
		struct scope s;
		struct user user = {0};

		scope_begin(&s);
		const enum fault fault = register_from(&s, rows[i].body, &user, bad);
		if (strcmp(bad, rows[i].bad) != 0 ||
			(fault == OK) != (bad[0] == '\0' && fault != FAULT_BAD_JSON))
			fail_row(i, "%s: bad are \"%s\", not \"%s\"", rows[i].body, bad,
				rows[i].bad);
		if (fault == OK && !str_eq(user.full_name, str_from(rows[i].name)))
			fail_row(i, "%s: the name is \"%.*s\"", rows[i].body,
				STR_ARG(user.full_name));
		if (fault == OK)
			assert_string_equal(role_choices[user.role], "customer");
		scope_end(&s);
	}
}

static void lengths_count_characters(void **state)
{
	char body[2048];
	char bad[TEST_SHOWN_MAX];
	struct user user;
	struct scope s;
	size_t len;

	(void)state;
	for (int count = 128; count <= 129; count++) {
		scope_begin(&s);
		len = (size_t)snprintf(body, sizeof body, "{\"email\":\"a@b.co\",\"password\":\"");
		for (int i = 0; i < count; i++)
			len += (size_t)snprintf(body + len, sizeof body - len, "\xc3\xa4");
		snprintf(body + len, sizeof body - len, "\"}");
		(void)register_from(&s, body, &user, bad);
		assert_string_equal(bad, count == 128 ? "" : "password");
		scope_end(&s);
	}
}

/* What comes back has all fields, null where nothing is known, and never a password. */
static void accounts_are_written(void **state)
{
	static const struct user ada = {
		.id = {{1}},
		.email = {"a@b.co", 6},
		.address = {.city = {"Graz", 4}},
		.role = 3,
		.created_at = 1000,
		.updated_at = 2000,
	};
	struct scope s;

	(void)state;
	scope_begin(&s);
	struct buf json = buf_new(s.arena);
	json_write(&json, &user_table, &ada);
	assert_str_equal(buf_str(&json),
		STR("{\"id\":\"01000000-0000-0000-0000-000000000000\",\"email\":\"a@b.co\","
		    "\"username\":null,\"full_name\":null,\"phone\":null,\"address\":{\"city\":"
		    "\"Graz\"},\"role\":\"admin\",\"created_at\":\"1970-01-01T00:00:00.001Z\","
		    "\"updated_at\":\"1970-01-01T00:00:00.002Z\"}"));
	json = buf_new(s.arena);
	json_write(&json, &user_found_table, &ada);
	assert_str_equal(buf_str(&json), STR("{\"id\":\"01000000-0000-0000-0000-000000000000\","
					     "\"username\":null,\"full_name\":null}"));
	scope_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(registrations),
		cmocka_unit_test(lengths_count_characters),
		cmocka_unit_test(accounts_are_written),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
