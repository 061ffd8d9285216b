/* SPDX-License-Identifier: Apache-2.0
 * Accounts in JSON, one line a field, and what makes an account's data valid. */
#include "model.h"

#include "auth/password.h"

static const struct field address_fields[] = {
	FIELD(struct address, name, TEXT, OPTIONAL, .max = 200, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, street, TEXT, OPTIONAL, .max = 200, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, city, TEXT, OPTIONAL, .max = 200, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, state, TEXT, OPTIONAL, .max = 200, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, zip_code, TEXT, OPTIONAL, .max = 20, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, country, TEXT, OPTIONAL, .max = 100, .flags = FIELD_OMIT_EMPTY),
	FIELD(struct address, phone, TEXT, OPTIONAL, .max = 50, .flags = FIELD_OMIT_EMPTY),
};
const struct field_table address_table = FIELD_TABLE(struct address, address_fields);

const char *const role_choices[] = {"customer", "seller", "support", "admin", NULL};

static const struct field user_fields[] = {
	FIELD(struct user, id, UUID, OUTPUT),
	FIELD(struct user, email, TEXT, REQUIRED, .min = 3, .max = EMAIL_MAX),
	FIELD(struct user, username, TEXT, OPTIONAL, .min = USERNAME_MIN, .max = USERNAME_MAX),
	FIELD(struct user, full_name, TEXT, OPTIONAL, .max = NAME_MAX_LEN),
	FIELD(struct user, phone, TEXT, OPTIONAL, .max = 50),
	FIELD(struct user, address, OBJECT, OPTIONAL, .of = &address_table),
	FIELD(struct user, role, ENUM, OUTPUT, .names = role_choices),
	FIELD(struct user, created_at, TIME, OUTPUT),
	FIELD(struct user, updated_at, TIME, OUTPUT),
};
const struct field_table user_table = FIELD_TABLE(struct user, user_fields);

static const struct field user_found_fields[] = {
	FIELD(struct user, id, UUID, OUTPUT),
	FIELD(struct user, username, TEXT, OUTPUT),
	FIELD(struct user, full_name, TEXT, OUTPUT),
};
const struct field_table user_found_table = FIELD_TABLE(struct user, user_found_fields);

static const struct field registration_fields[] = {
	FIELD(struct registration, email, TEXT, REQUIRED, .min = 3, .max = EMAIL_MAX),
	FIELD(struct registration, password, TEXT, REQUIRED, .min = PASSWORD_MIN,
		.max = PASSWORD_MAX, .flags = FIELD_SECRET),
	FIELD(struct registration, username, TEXT, OPTIONAL, .min = USERNAME_MIN,
		.max = USERNAME_MAX),
	FIELD(struct registration, full_name, TEXT, OPTIONAL, .max = NAME_MAX_LEN),
	FIELD(struct registration, name, TEXT, OPTIONAL, .max = NAME_MAX_LEN),
	FIELD(struct registration, first_name, TEXT, OPTIONAL, .max = 100),
	FIELD(struct registration, last_name, TEXT, OPTIONAL, .max = 99),
	FIELD(struct registration, phone, TEXT, OPTIONAL, .max = 50),
	FIELD(struct registration, address, OBJECT, OPTIONAL, .of = &address_table),
};
const struct field_table registration_table = FIELD_TABLE(struct registration, registration_fields);

static const struct field credentials_fields[] = {
	FIELD(struct credentials, email, TEXT, OPTIONAL, .min = 1, .max = EMAIL_MAX),
	FIELD(struct credentials, username, TEXT, OPTIONAL, .min = 1, .max = EMAIL_MAX),
	FIELD(struct credentials, password, TEXT, REQUIRED, .min = 1, .max = PASSWORD_MAX),
};
const struct field_table credentials_table = FIELD_TABLE(struct credentials, credentials_fields);

static const struct field refresh_request_fields[] = {
	FIELD(struct refresh_request, refresh_token, TEXT, REQUIRED, .min = 1, .max = 200),
};
const struct field_table refresh_request_table =
	FIELD_TABLE(struct refresh_request, refresh_request_fields);

static const struct field password_change_fields[] = {
	FIELD(struct password_change, old_password, TEXT, REQUIRED, .min = 1, .max = PASSWORD_MAX),
	FIELD(struct password_change, new_password, TEXT, REQUIRED, .min = PASSWORD_MIN,
		.max = PASSWORD_MAX),
};
const struct field_table password_change_table =
	FIELD_TABLE(struct password_change, password_change_fields);

static const struct field role_change_fields[] = {
	FIELD(struct role_change, role, ENUM, REQUIRED, .names = role_choices),
};
const struct field_table role_change_table = FIELD_TABLE(struct role_change, role_change_fields);

static const struct field session_fields[] = {
	FIELD(struct session, access_token, TEXT, OUTPUT),
	FIELD(struct session, refresh_token, TEXT, OUTPUT),
	FIELD(struct session, token_type, TEXT, OUTPUT),
	FIELD(struct session, expires_in, INT64, OUTPUT),
	FIELD(struct session, user, OBJECT, OUTPUT, .of = &user_table),
};
const struct field_table session_table = FIELD_TABLE(struct session, session_fields);

static const struct field ended_session_fields[] = {
	FIELD(struct ended_session, session_id, UUID, OUTPUT),
	FIELD(struct ended_session, user_id, UUID, OUTPUT),
	FIELD(struct ended_session, ended_at, TIME, OUTPUT),
};
static const struct field_table ended_session_table =
	FIELD_TABLE(struct ended_session, ended_session_fields);

static const struct field ended_page_fields[] = {
	FIELD(struct ended_page, sessions, ARRAY, OUTPUT, .of = &ended_session_table),
	FIELD(struct ended_page, before, INT64, OUTPUT, .flags = FIELD_OMIT_EMPTY),
};
const struct field_table ended_page_table = FIELD_TABLE(struct ended_page, ended_page_fields);

static const struct field user_list_query_fields[] = {
	FIELD(struct user_query, limit, INT64, OPTIONAL, .min = 1, .max = PAGE_MAX),
	FIELD(struct user_query, offset, INT64, OPTIONAL, .min = 0, .max = OFFSET_MAX),
	FIELD(struct user_query, cursor, TEXT, OPTIONAL, .max = 512),
};
const struct field_table user_list_query_table =
	FIELD_TABLE(struct user_query, user_list_query_fields);

static const struct field user_search_query_fields[] = {
	FIELD(struct user_query, q, TEXT, REQUIRED, .min = 1, .max = 200),
	FIELD(struct user_query, limit, INT64, OPTIONAL, .min = 1, .max = PAGE_MAX),
	FIELD(struct user_query, offset, INT64, OPTIONAL, .min = 0, .max = OFFSET_MAX),
	FIELD(struct user_query, cursor, TEXT, OPTIONAL, .max = 512),
};
const struct field_table user_search_query_table =
	FIELD_TABLE(struct user_query, user_search_query_fields);

static bool email_is_plausible(struct str email);
static bool username_is_plain(struct str username);

enum fault user_from_registration(
	struct scope *s, enum fault read, const struct registration *wanted, struct user *user)
{
	*user = (struct user){
		.id = uuid_new(),
		.email = wanted->email,
		.username = wanted->username,
		.full_name = wanted->full_name.at != NULL ? wanted->full_name : wanted->name,
		.phone = wanted->phone,
		.address = wanted->address,
	};
	if (user->full_name.at == NULL && wanted->first_name.at != NULL)
		user->full_name = str_trim(scope_format(
			s, "%.*s %.*s", STR_ARG(wanted->first_name), STR_ARG(wanted->last_name)));
	if (user->full_name.at == NULL)
		user->full_name = wanted->last_name;

	read = user_check(s, read, user);
	if ((read == OK || read == FAULT_INVALID) &&
		password_check(s, "password", wanted->password) != OK)
		return FAULT_INVALID;
	return read;
}

enum fault user_check(struct scope *s, enum fault read, const struct user *user)
{
	if (read != OK && read != FAULT_INVALID)
		return read;
	if (user->email.at != NULL && !email_is_plausible(user->email))
		read = fail_field(s, STR("email"), "format",
			"must be an e-mail address such as ada@example.com");
	if (user->username.at != NULL && !username_is_plain(user->username))
		read = fail_field(s, STR("username"), "format",
			"must consist of letters, digits and the characters . _ -");
	return read;
}

enum fault password_check(struct scope *s, const char *field, struct str password)
{
	if (password_is_common(password))
		return fail_field(s, str_from(field), "value",
			"is one of the most common passwords; choose another one");
	return OK;
}

/* One '@' with something before it and a name with a dot behind it, and no blanks: whether it takes
 * mail is found out by sending one. */
static bool email_is_plausible(struct str email)
{
	struct str domain = email, local;

	for (size_t i = 0; i < email.len; i++) {
		const unsigned char c = (unsigned char)email.at[i];
		if (c <= ' ' || c == 0x7f)
			return false;
	}
	if (!str_cut(&domain, '@', &local) || local.len == 0 || domain.len < 3)
		return false;
	return memchr(domain.at, '@', domain.len) == NULL && domain.at[0] != '.' &&
	       domain.at[domain.len - 1] != '.' && memchr(domain.at, '.', domain.len) != NULL;
}

/* No '@', so that a username is never taken for somebody's e-mail address. */
static bool username_is_plain(struct str username)
{
	for (size_t i = 0; i < username.len; i++) {
		const char c = username.at[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '.' || c == '_' || c == '-'))
			return false;
	}
	return true;
}
