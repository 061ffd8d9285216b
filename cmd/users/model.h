/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/request.h"
#include "json/field.h"

/* Accounts and sessions as they are kept and shown. */

enum {
	EMAIL_MAX = 254, /* RFC 5321 */
	PASSWORD_MIN = 8,
	PASSWORD_MAX = 128,
	USERNAME_MIN = 3,
	USERNAME_MAX = 50,
	NAME_MAX_LEN = 200,
	PAGE_MAX = 100,
	PAGE_DEFAULT = 20,
	OFFSET_MAX = 10000,
};

struct address {
	struct str name;
	struct str street;
	struct str city;
	struct str state;
	struct str zip_code;
	struct str country;
	struct str phone;
};
extern const struct field_table address_table;

struct user {
	struct uuid id;
	struct str email;
	struct str username;
	struct str full_name;
	struct str phone;
	struct address address;
	int role; /* into role_choices */
	int64_t version;
	int64_t created_at;
	int64_t updated_at;
};

/* The roles as a table of names; role_choices[i] is (enum role)(i + 1). */
extern const char *const role_choices[];
extern const struct field_table user_table;

/* What others than admins find. */
extern const struct field_table user_found_table;

struct registration {
	struct str email;
	struct str password;
	struct str username;
	struct str full_name;
	struct str name; /* older clients: the full name */
	struct str first_name;
	struct str last_name;
	struct str phone;
	struct address address;
};
extern const struct field_table registration_table;

struct credentials {
	struct str email;
	struct str username;
	struct str password;
};
extern const struct field_table credentials_table;

struct refresh_request {
	struct str refresh_token;
};
extern const struct field_table refresh_request_table;

struct password_change {
	struct str old_password;
	struct str new_password;
};
extern const struct field_table password_change_table;

struct role_change {
	int role;
};
extern const struct field_table role_change_table;

struct session {
	struct str access_token;
	struct str refresh_token;
	struct str token_type;
	int64_t expires_in; /* seconds */
	struct user user;
};
extern const struct field_table session_table;

/* Before its time. */
struct ended_session {
	struct uuid session_id;
	struct uuid user_id;
	int64_t ended_at;
};

struct ended_page {
	struct items sessions; /* struct ended_session; the newest first */
	int64_t before; /* by which the next page is asked for; 0: there is none */
};
extern const struct field_table ended_page_table;

struct user_query {
	struct str q;
	int64_t limit;
	int64_t offset;
	struct str cursor;
};
extern const struct field_table user_list_query_table;
extern const struct field_table user_search_query_table;

/* Of the checks below `read` is how reading by the table ended: after FAULT_INVALID they go on with
 * the fields that were good, so that every bad one is named at once. */

/* The account that a registration asks for, with a new id. */
enum fault user_from_registration(struct scope *s, enum fault read,
	const struct registration *wanted, struct user *user) MUST_CHECK;

/* What the field tables cannot say of an account's data: the shape of e-mail address and username.
 */
enum fault user_check(struct scope *s, enum fault read, const struct user *user) MUST_CHECK;

/* Long enough is the table's matter; not among the common ones is this one's. */
enum fault password_check(struct scope *s, const char *field, struct str password) MUST_CHECK;
