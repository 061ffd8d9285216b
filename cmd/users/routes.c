/* SPDX-License-Identifier: Apache-2.0
 * The service as a table. */
#include "handlers.h"

const struct route routes[] = {
	{"POST", "/api/v1/auth/register", session_register, ANYONE},
	{"POST", "/api/v1/auth/login", session_login, ANYONE},
	{"POST", "/api/v1/auth/refresh", session_refresh, ANYONE},
	{"POST", "/api/v1/auth/logout", session_logout, USER},
	{"POST", "/api/v1/auth/logout-all", session_logout_all, USER},
	{"POST", "/api/v1/auth/password", user_change_password, USER},
	{"GET", "/api/v1/users/me", user_read, USER},
	{"PUT", "/api/v1/users/me", user_replace, USER},
	{"PATCH", "/api/v1/users/me", user_change, USER},
	{"DELETE", "/api/v1/users/me", user_delete, USER},
	{"PUT", "/api/v1/users/me/password", user_change_password, USER},
	{"GET", "/api/v1/users", user_list, ADMIN},
	{"GET", "/api/v1/users/search", user_search, USER},
	{"GET", "/api/v1/users/{id}", user_read, USER},
	{"PUT", "/api/v1/users/{id}", user_replace, USER},
	{"PATCH", "/api/v1/users/{id}", user_change, USER},
	{"DELETE", "/api/v1/users/{id}", user_delete, USER},
	{"PUT", "/api/v1/users/{id}/role", user_set_role, ADMIN},
	{"GET", "/internal/sessions/ended", sessions_ended, SERVICE},
	{"GET", "/.well-known/jwks.json", keys_read, ANYONE, .cache_control = "public, max-age=60"},
};
const size_t route_count = sizeof routes / sizeof routes[0];
