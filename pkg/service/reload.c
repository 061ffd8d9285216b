/* SPDX-License-Identifier: Apache-2.0
 * What changes while the program runs: the live configuration, secrets in files, the certificate.
 * The main thread, which has nothing else to do, reads the files twice a second: that is right for
 * links that Kubernetes swaps, for mounted files and for any file system alike. What has changed is
 * taken over once two looks have seen the same, so that nothing half written is, and as a whole: if
 * it is wrong, what was in use stays.
 *
 * Tasks may be using what was replaced, so that is kept for longer than any task takes. */
#include "service/internal.h"

#include "auth/crypto.h"
#include "base/check.h"
#include "base/clock.h"
#include "config/file.h"
#include "config/live.h"
#include "log/log.h"
#include "metrics/metrics.h"

#include <errno.h>
#include <fcntl.h>

enum {
	SOURCES_MAX = 8,
	KEPT_LOOKS = 600, /* longer than any task: SERVICE_JOB_US and a shield */
};

struct source {
	const char *name; /* in the log and in metrics */
	const char *path;
	enum fault (*read)(struct source *source, struct scope *s, struct str *text);
	enum fault (*take)(struct source *source, struct scope *s, struct str text);
	const struct service_secret *secret;
	uint8_t seen[SHA256_BYTES]; /* at the last look */
	uint8_t judged[SHA256_BYTES]; /* in use, or refused */
	struct arena *arena; /* of what is in use; NULL: it is the process' */
	struct gauge *success;
	struct gauge *refused;
	struct counter *failures;
};

/* What was in use before; lives in its own arena. */
struct kept {
	struct kept *next;
	struct arena *arena;
	unsigned looks_left;
};

static struct {
	struct source sources[SOURCES_MAX];
	size_t count;
	struct kept *kept; /* oldest first */
} reload;

static struct source *watch(const struct source *what);
static void watch_secret(const struct service_secret *secret);
static void look(struct source *source);
static enum fault read_digest(
	struct source *source, struct scope *s, struct str *text, uint8_t digest[SHA256_BYTES]);
static void replace(struct source *source, struct arena *arena);
static void refuse(struct source *source, struct scope *s);
static void show_success(const struct source *source);
static void drop_kept(bool all);
static enum fault read_secret(struct source *source, struct scope *s, struct str *text);
static enum fault take_secret(struct source *source, struct scope *s, struct str text);
static enum fault read_live(struct source *source, struct scope *s, struct str *text);
static enum fault take_live(struct source *source, struct scope *s, struct str text);
static enum fault read_certificate(struct source *source, struct scope *s, struct str *text);
static enum fault take_certificate(struct source *source, struct scope *s, struct str text);
static enum fault take_internal(struct scope *s, struct str text);

static const struct service_secret internal_secrets = {"INTERNAL_SECRETS", take_internal};
static const struct service_secret cursor_secret = {"CURSOR_SECRET", settings_take_cursor};

/* ---- what is looked at ---- */

/* Before they are loaded: what changes in between is seen as a change. */
void reload_watch_secrets(void)
{
	const struct service *const service = process.service;

	watch_secret(&internal_secrets);
	if (service->schema != NULL && service_knows_people(service))
		watch_secret(&cursor_secret);
	for (size_t i = 0; i < service->secret_count; i++)
		watch_secret(&service->secrets[i]);
}

static void watch_secret(const struct service_secret *secret)
{
	const char *const path = config_file(secret->variable);

	if (path != NULL)
		watch(&(const struct source){.name = secret->variable,
			.path = path,
			.read = read_secret,
			.take = take_secret,
			.secret = secret});
}

void reload_watch_live(void)
{
	const struct settings *const settings = &process.settings;
	struct source *source;

	if (settings->live_directory.len == 0)
		return;
	source = watch(&(const struct source){.name = "LIVE_CONFIG_DIR",
		.path = settings->live_directory.at,
		.read = read_live,
		.take = take_live});
	crypto_sha256(settings->live, source->judged); /* what was loaded */
}

void reload_watch_certificate(void)
{
	if (process.settings.tls_port != 0)
		watch(&(const struct source){.name = "TLS",
			.path = process.settings.tls_cert_file.at,
			.read = read_certificate,
			.take = take_certificate});
}

static struct source *watch(const struct source *what)
{
	struct source *const source = &reload.sources[reload.count];
	struct scope s;
	struct str text;

	CHECK(reload.count++ < SOURCES_MAX);
	*source = *what;
	scope_begin(&s);
	if (read_digest(source, &s, &text, source->judged) != OK)
		scope_forgive(&s); /* loading it will tell */
	scope_end(&s);
	memcpy(source->seen, source->judged, SHA256_BYTES);
	return source;
}

void reload_show(void)
{
	for (size_t i = 0; i < reload.count; i++) {
		struct source *const source = &reload.sources[i];
		const struct metric_label *const labels =
			LABELS({"source", str_from(source->name)});

		source->success = gauge_get("bodega_config_reload_success_timestamp_seconds",
			"When what is in use was taken over, since 1970.", labels);
		source->refused = gauge_get("bodega_config_reload_refused",
			"1 while what stands there is wrong and the one before in use.", labels);
		source->failures = counter_get("bodega_config_reload_failures_total",
			"Changes that were refused.", labels);
		show_success(source);
	}
}

/* ---- looking ---- */

void reload_look(void)
{
	for (size_t i = 0; i < reload.count; i++)
		look(&reload.sources[i]);
	drop_kept(false);
}

static void look(struct source *source)
{
	uint8_t digest[SHA256_BYTES];
	struct scope s;
	struct str text;
	enum fault fault;
	bool settled;

	scope_begin(&s);
	fault = read_digest(source, &s, &text, digest);
	settled = memcmp(digest, source->seen, SHA256_BYTES) == 0;
	memcpy(source->seen, digest, SHA256_BYTES);
	if (settled && memcmp(digest, source->judged, SHA256_BYTES) != 0) {
		memcpy(source->judged, digest, SHA256_BYTES);
		if (fault == OK)
			fault = source->take(source, &s, text);
		if (fault == OK)
			replace(source, s.arena);
		else
			refuse(source, &s);
	}
	scope_end(&s);
}

/* What stands there, or what is wrong with it, as a digest: secrets are not kept for comparing. */
static enum fault read_digest(
	struct source *source, struct scope *s, struct str *text, uint8_t digest[SHA256_BYTES])
{
	enum fault fault;

	*text = STR_NONE;
	fault = source->read(source, s, text);
	crypto_sha256(fault == OK ? *text : s->errors->message, digest);
	return fault;
}

/* What is in use from now on lives in that arena. */
static void replace(struct source *source, struct arena *arena)
{
	struct kept **last = &reload.kept;

	log_line(LEVEL_INFO, "configuration taken over", LOG_TEXT("source", source->name),
		LOG_TEXT("path", source->path));
	show_success(source);
	if (source->arena != NULL) {
		struct kept *const kept = arena_alloc(source->arena, sizeof *kept);

		*kept = (struct kept){.arena = source->arena, .looks_left = KEPT_LOOKS};
		while (*last != NULL)
			last = &(*last)->next;
		*last = kept;
	}
	arena_ref(arena);
	source->arena = arena;
}

static void refuse(struct source *source, struct scope *s)
{
	counter_inc(source->failures);
	gauge_set(source->refused, 1);
	for (const struct field_error *e = s->errors; e != NULL; e = e->next)
		log_line(LEVEL_ERROR, "configuration refused", LOG_TEXT("source", source->name),
			LOG_TEXT("path", source->path),
			LOG_STR("why", scope_format(s, "%.*s %.*s", STR_ARG(e->field),
					       STR_ARG(e->message))));
}

static void show_success(const struct source *source)
{
	gauge_set(source->success, clock_wall_us() / 1000000);
	gauge_set(source->refused, 0);
}

static void drop_kept(bool all)
{
	for (struct kept *kept = reload.kept; kept != NULL; kept = kept->next)
		kept->looks_left--;
	while (reload.kept != NULL && (all || reload.kept->looks_left == 0)) {
		struct kept *const gone = reload.kept;

		reload.kept = gone->next;
		arena_unref(gone->arena);
	}
}

void reload_end(void)
{
	drop_kept(true);
	for (size_t i = 0; i < reload.count; i++)
		arena_unref(reload.sources[i].arena);
	reload.count = 0;
}

/* ---- secrets ---- */

static enum fault read_secret(struct source *source, struct scope *s, struct str *text)
{
	if (config_read_file(s, AT_FDCWD, source->path, text) && text->len > 0)
		return OK;
	return fail_field(s, scope_format(s, "%s_FILE", source->name), "value",
		"names %s, which is empty or cannot be read", source->path);
}

static enum fault take_secret(struct source *source, struct scope *s, struct str text)
{
	return source->secret->take(s, text);
}

static enum fault take_internal(struct scope *s, struct str text)
{
	return settings_take_internal(s, process.service, &process.settings, text);
}

/* ---- the live configuration ---- */

static enum fault read_live(struct source *source, struct scope *s, struct str *text)
{
	return config_live_read(s, source->path, text);
}

/* The log's level may have been set by hand meanwhile: that stays unless this changes it. */
static enum fault take_live(struct source *source, struct scope *s, struct str text)
{
	struct settings *const settings = &process.settings;
	const int level = settings->log_level;

	(void)source;
	TRY(settings_take_live(s, process.service, settings, text));
	if (settings->log_level != level)
		log_set_level((enum level)settings->log_level);
	if (process.service->reloaded != NULL)
		process.service->reloaded();
	return OK;
}

/* ---- the certificate ---- */

static enum fault read_certificate(struct source *source, struct scope *s, struct str *text)
{
	const struct settings *const settings = &process.settings;
	struct str certificate, key;

	(void)source;
	if (!config_read_file(s, AT_FDCWD, settings->tls_cert_file.at, &certificate))
		return fail_field(
			s, STR("TLS_CERT_FILE"), "value", "cannot be read: %s", strerror(errno));
	if (!config_read_file(s, AT_FDCWD, settings->tls_key_file.at, &key))
		return fail_field(
			s, STR("TLS_KEY_FILE"), "value", "cannot be read: %s", strerror(errno));
	*text = scope_format(s, "%.*s\n%.*s", STR_ARG(certificate), STR_ARG(key));
	return OK;
}

static enum fault take_certificate(struct source *source, struct scope *s, struct str text)
{
	struct str why;

	(void)source;
	(void)text;
	if (server_load_certificate(process.server, &why))
		return OK;
	return fail_field(s, STR("TLS_CERT_FILE"), "value", "and its key: %.*s", STR_ARG(why));
}
