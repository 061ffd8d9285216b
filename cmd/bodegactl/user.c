/* SPDX-License-Identifier: Apache-2.0
 * bodegactl user: makes accounts of any role and gives roles, in users_db itself, so that it works
 * before any service runs. What a valid account is, users says. */
#include "auth/base64.h"
#include "auth/crypto.h"
#include "auth/password.h"
#include "auth/role.h"
#include "base/random.h"
#include "command.h"
#include "config/config.h"
#include "database.h"
#include "users/model.h"
#include "json/write.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] = "create|role --email E --role R [OPTION...]";

static const char help[] =
	"  create   make an account; without --password-file its password is made up and shown\n"
	"  role     give an account another role; its sessions end, for their tokens carry the old "
	"one\n"
	"\n"
	"Roles are customer, seller, support and admin. The database is that of "
	"USERS_DATABASE_URL or\n"
	"DATABASE_URL; create needs PASSWORD_PEPPER and takes BCRYPT_COST, both as users has "
	"them.\n"
	"Each may be in a file instead, which NAME_FILE names.\n";

static const char create_sql[] =
	"INSERT INTO users (id, email, username, full_name, role, password_hash, password_cost)\n"
	"VALUES ($1, $2, $3, $4, $5, $6, $7)\n"
	"RETURNING id";

static const char role_sql[] =
	"UPDATE users\n"
	"SET role = $2, session_epoch = session_epoch + 1, version = version + 1,\n"
	"	updated_at = now()\n"
	"WHERE email_folded = lower($1) AND deleted_at IS NULL\n"
	"RETURNING id";

enum {
	PASSWORD_FILE_MAX = 4 * PASSWORD_MAX + 2, /* so many code points, and a line end */
	PASSWORD_RANDOM_BYTES = 15,
};

struct options {
	char *email;
	char *username;
	char *name;
	char *role;
	char *password_file;
	char *output;
};

struct settings {
	struct str url;
	struct str users_url;
	struct str pepper;
	int64_t bcrypt_cost;
};

#define SCHEMES "postgresql postgres"
static const struct config_field fields[] = {
	CONFIG(struct settings, url, URL, "DATABASE_URL", CONFIG_OPTIONAL, "Database of users.",
		.choices = SCHEMES),
	CONFIG(struct settings, users_url, URL, "USERS_DATABASE_URL", CONFIG_OPTIONAL,
		"The same; goes before DATABASE_URL.", .choices = SCHEMES),
	/* what only `create` needs */
	CONFIG(struct settings, pepper, SECRET, "PASSWORD_PEPPER", CONFIG_REQUIRED,
		"What every password is mixed with."),
	CONFIG(struct settings, bcrypt_cost, INT, "BCRYPT_COST", "12", "Work of a password hash.",
		.min = 4, .max = 16),
};
enum { FIELDS_ALL = sizeof fields / sizeof fields[0], FIELDS_OF_DATABASE = 2 };

struct made {
	struct str id;
	struct str email;
	struct str role;
	struct str password; /* when it was made up */
};

static const struct field made_fields[] = {
	FIELD(struct made, id, TEXT, OUTPUT),
	FIELD(struct made, email, TEXT, OUTPUT),
	FIELD(struct made, role, TEXT, OUTPUT),
	FIELD(struct made, password, TEXT, OUTPUT, .flags = FIELD_OMIT_EMPTY),
};
static const struct field_table made_table = FIELD_TABLE(struct made, made_fields);

struct run {
	struct scope s;
	struct options options;
	enum output output;
	struct settings settings;
	struct str pepper;
	struct made made;
};

static int run_action(struct run *r, poptContext context);
static int check_options(const struct run *r, struct str action);
static enum fault create(struct run *r);
static enum fault give_role(struct run *r);
static enum fault load_settings(struct run *r, size_t count);
static enum fault open_database(struct run *r, struct database **db);
static enum fault read_password(struct run *r, struct str *password);
static enum fault check_account(struct run *r, struct str password, struct user *user);
static void add_member(struct buf *json, const char *name, struct str text);
static int report(struct run *r, enum fault fault);
static void print(const struct run *r);

int user_command(int argc, const char **argv)
{
	struct run r = {0};
	struct options *o = &r.options;
	const struct poptOption table[] = {
		{"email", 'e', POPT_ARG_STRING, &o->email, 0, "the account's e-mail address", "E"},
		{"role", 'r', POPT_ARG_STRING, &o->role, 0, "the role it gets", "ROLE"},
		{"name", 'n', POPT_ARG_STRING, &o->name, 0, "the person's name", "NAME"},
		{"username", 'u', POPT_ARG_STRING, &o->username, 0, "to log in with", "NAME"},
		{"password-file", 'p', POPT_ARG_STRING, &o->password_file, 0,
			"holds the password; /dev/stdin reads it from there", "FILE"},
		{"output", 'o', POPT_ARG_STRING, &o->output, 0, "table (default) or json",
			"FORMAT"},
		COMMAND_HELP_OPTION,
		POPT_TABLEEND,
	};
	poptContext context;
	int status;

	argv[0] = "bodegactl user"; /* popt says so in its help */
	context = poptGetContext(NULL, argc, argv, table, 0);
	scope_begin(&r.s);
	if (command_options(context, usage, help, &status))
		status = run_action(&r, context);
	scope_end(&r.s);
	poptFreeContext(context);
	free(o->email);
	free(o->username);
	free(o->name);
	free(o->role);
	free(o->password_file);
	free(o->output);
	return status;
}

static int run_action(struct run *r, poptContext context)
{
	const struct str action = str_from(poptGetArg(context));
	int status;

	if (!str_eq(action, STR("create")) && !str_eq(action, STR("role")))
		return command_fail(COMMAND_USAGE, "create or role? See --help");
	if (poptPeekArg(context) != NULL)
		return command_fail(
			COMMAND_USAGE, "%s is too much; see --help", poptPeekArg(context));
	if (!output_parse(r->options.output, &r->output))
		return command_fail(COMMAND_USAGE, "--output must be table or json");
	if ((status = check_options(r, action)) != COMMAND_FINE)
		return status;
	r->made.email = str_from(r->options.email);
	r->made.role = str_from(r->options.role);
	return report(r, str_eq(action, STR("create")) ? create(r) : give_role(r));
}

static int check_options(const struct run *r, struct str action)
{
	const struct options *o = &r->options;

	if (o->email == NULL || o->role == NULL)
		return command_fail(
			COMMAND_USAGE, "%s needs --email and --role; see --help", action.at);
	if (role_parse(str_from(o->role)) == ROLE_NONE)
		return command_fail(COMMAND_USAGE,
			"there is no role %s, but customer, seller, support, admin", o->role);
	if (str_eq(action, STR("role")) &&
		(o->name != NULL || o->username != NULL || o->password_file != NULL))
		return command_fail(COMMAND_USAGE, "role changes nothing but the role; see --help");
	return COMMAND_FINE;
}

static enum fault create(struct run *r)
{
	struct str password = STR_NONE;
	struct database *db;
	struct user user;
	char hash[PASSWORD_HASH_MAX], id[UUID_TEXT_LEN + 1];

	TRY(load_settings(r, FIELDS_ALL));
	TRY(read_password(r, &password));
	TRY(check_account(r, password, &user));
	TRY(open_database(r, &db));
	password_hash_blocking(&(struct password_config){.pepper = r->pepper,
				       .cost = (unsigned)r->settings.bcrypt_cost},
		password, hash);

	const struct str values[] = {uuid_format(&user.id, id), user.email, user.username,
		user.full_name, r->made.role, str_from(hash),
		scope_format(&r->s, "%lld", (long long)r->settings.bcrypt_cost)};
	return database_run(db, create_sql, values, sizeof values / sizeof values[0], &r->made.id);
}

static enum fault give_role(struct run *r)
{
	const struct str values[] = {r->made.email, r->made.role};
	struct database *db;

	TRY(load_settings(r, FIELDS_OF_DATABASE));
	TRY(open_database(r, &db));
	TRY(database_run(db, role_sql, values, sizeof values / sizeof values[0], &r->made.id));
	if (r->made.id.at == NULL)
		return fail(&r->s, FAULT_NOT_FOUND,
			"there is no account with the e-mail address %s", r->options.email);
	return OK;
}

/* FAULT_BAD_REQUEST with field errors: the environment is wrong. */
static enum fault load_settings(struct run *r, size_t count)
{
	struct settings *settings = &r->settings;

	if (config_load(&r->s, fields, count, settings) != OK)
		return FAULT_BAD_REQUEST;
	if (settings->users_url.at == NULL)
		settings->users_url = settings->url;
	if (settings->users_url.at == NULL)
		fail_field(&r->s, STR("USERS_DATABASE_URL"), "required", "must be set");
	if (count == FIELDS_ALL &&
		(!base64_decode(r->s.arena, BASE64, str_trim(settings->pepper), &r->pepper) ||
			r->pepper.len < SECRET_BYTES_MIN))
		fail_field(&r->s, STR("PASSWORD_PEPPER"), "format",
			"must be base64 of at least %d bytes", SECRET_BYTES_MIN);
	return r->s.error_count > 0 ? FAULT_BAD_REQUEST : OK;
}

static enum fault open_database(struct run *r, struct database **db)
{
	return database_open(&r->s, r->settings.users_url, db);
}

/* The file's text without its line end; or one that nobody guesses. */
static enum fault read_password(struct run *r, struct str *password)
{
	char text[PASSWORD_FILE_MAX + 1], bytes[PASSWORD_RANDOM_BYTES];
	const char *path = r->options.password_file;
	size_t len = 0;
	ssize_t got;

	if (path == NULL) {
		random_bytes(bytes, sizeof bytes);
		*password = r->made.password =
			base64_encode(r->s.arena, BASE64URL, str_of(bytes, sizeof bytes));
		return OK;
	}
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(&r->s, FAULT_NOT_FOUND, "%s: %s", path, strerror(errno));
	while ((got = read(fd, text + len, sizeof text - len)) > 0)
		len += (size_t)got;
	close(fd);
	if (got < 0)
		return fail(&r->s, FAULT_NOT_FOUND, "%s: %s", path, strerror(errno));
	if (len > 0 && text[len - 1] == '\n')
		len -= len > 1 && text[len - 2] == '\r' ? 2 : 1;
	*password = scope_dup(&r->s, str_of(text, len));
	explicit_bzero(text, sizeof text);
	return OK;
}

/* As POST /auth/register would: by the same table and the same checks. */
static enum fault check_account(struct run *r, struct str password, struct user *user)
{
	const struct options *o = &r->options;
	struct registration wanted = {0};
	struct buf json = buf_new(r->s.arena);

	buf_add(&json, STR("{\"email\":"));
	json_write_text(&json, str_from(o->email));
	add_member(&json, "password", password);
	add_member(&json, "username", str_from(o->username));
	add_member(&json, "full_name", str_from(o->name));
	buf_char(&json, '}');
	const enum fault read = json_read(&r->s, buf_str(&json), &registration_table, &wanted);
	return user_from_registration(&r->s, read, &wanted, user);
}

static void add_member(struct buf *json, const char *name, struct str text)
{
	if (text.at == NULL)
		return;
	buf_format(json, ",\"%s\":", name);
	json_write_text(json, text);
}

static int report(struct run *r, enum fault fault)
{
	if (fault == OK) {
		print(r);
		return COMMAND_FINE;
	}
	if (r->s.error_count > 0) {
		config_print_errors(&r->s, "bodegactl", stderr);
		return fault == FAULT_BAD_REQUEST ? COMMAND_CONFIG : COMMAND_FAILED;
	}
	if (fault == FAULT_CONFLICT && str_eq(r->s.detail, STR("users_email_key")))
		return command_fail(COMMAND_FAILED,
			"the e-mail address %s is taken by another account", r->options.email);
	if (fault == FAULT_CONFLICT && str_eq(r->s.detail, STR("users_username_key")))
		return command_fail(COMMAND_FAILED, "the username %s is taken by another account",
			r->options.username);
	return command_fail_scope(&r->s, fault, "users");
}

static void print(const struct run *r)
{
	const struct made *made = &r->made;

	if (r->output == OUTPUT_JSON) {
		struct buf json = buf_new(r->s.arena);
		json_write(&json, &made_table, made);
		printf("%.*s\n", STR_ARG(buf_str(&json)));
		return;
	}
	printf("%.*s: %.*s, id %.*s\n", STR_ARG(made->email), STR_ARG(made->role),
		STR_ARG(made->id));
	if (made->password.at != NULL)
		printf("password: %.*s\n", STR_ARG(made->password));
}
