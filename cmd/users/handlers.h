/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "auth/password.h"
#include "http/route.h"
#include "store.h"

/* Every handler of the service, by file, and what they share. */

/* session.c */
handler_fn session_register;
handler_fn session_login;
handler_fn session_refresh;
handler_fn session_logout;
handler_fn session_logout_all;

/* A service job: forgets sessions whose time was over long ago. Suspends. */
enum fault session_sweep(struct task *t) MUST_CHECK;

/* ended.c */
handler_fn sessions_ended;

/* user.c */
handler_fn user_read;
handler_fn user_replace;
handler_fn user_change;
handler_fn user_change_password;
handler_fn user_delete;
handler_fn user_list;
handler_fn user_search;
handler_fn user_set_role;

/* keys.c */
handler_fn keys_read;

extern const struct route routes[];
extern const size_t route_count;

/* How passwords are hashed; set once by main. */
extern struct password_config passwords;
