/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "service/service.h"

enum { WORKERS_MAX = 64 };

/* The variables that all programs have, and those of what a service describes: database, Redis,
 * peers. */
struct settings {
	struct str listen_address;
	uint16_t port;
	uint16_t admin_port;
	uint16_t tls_port;
	struct str tls_cert_file;
	struct str tls_key_file;
	int64_t workers; /* 0 in the environment: by the CPUs; never 0 after loading */
	_Atomic int log_level;
	struct str live_directory; /* STR_NONE: none */
	struct str live; /* what stood there at the start (config/live.h) */
	int64_t drain_delay_us;
	int64_t drain_timeout_us;
	int64_t keep_alive_us;
	int64_t connection_age_us; /* 0: never */
	struct str currency;
	struct token_rules token_rules;
	struct str internal_secrets;
	struct mac_ring macs; /* read from internal_secrets */

	struct str database_url;
	int64_t read_connections; /* a thread */
	int64_t slow_connections;
	int64_t write_connections;
	struct str cursor_secret;

	struct str redis_url;

	struct str rabbitmq_url;

	struct service_peer peers[SERVICE_PEERS_MAX]; /* service.peers, and users for its keys */
	size_t peer_count;
	struct texts peer_urls[SERVICE_PEERS_MAX];
	struct texts peer_addresses[SERVICE_PEERS_MAX]; /* "127.0.0.1:8081" */
	struct mac_pair peer_macs[SERVICE_PEERS_MAX]; /* of those that are internal */
};

/* Reads everything, the program's own variables too. FAULT_INVALID: every mistake is among the
 * errors of s. */
enum fault settings_load(
	struct scope *s, const struct service *service, struct settings *settings) MUST_CHECK;

/* Whether people call it, not only services of ours: then it needs the keys that verify access
 * tokens, and a secret for cursors and repeated requests. */
bool service_knows_people(const struct service *service);

/* Values that may change at run time, from the text of the directory (config/live.h): all, or none
 * and FAULT_INVALID. */
enum fault settings_take_live(struct scope *s, const struct service *service,
	struct settings *settings, struct str whole) MUST_CHECK;

/* The next values of INTERNAL_SECRETS and of CURSOR_SECRET, which live in s from then on.
 * FAULT_INVALID: the ones before stay. */
enum fault settings_take_internal(struct scope *s, const struct service *service,
	struct settings *settings, struct str text) MUST_CHECK;
enum fault settings_take_cursor(struct scope *s, struct str text) MUST_CHECK;

/* How many connections to its database the program opens at most; 0 without one. */
int64_t settings_connections(const struct settings *settings);

/* For --help. */
void settings_help(struct scope *s, const struct service *service, FILE *out);
