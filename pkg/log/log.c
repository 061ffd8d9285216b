/* SPDX-License-Identifier: Apache-2.0
 * From threads to the descriptor. Each thread that logs has a ring; one writer thread empties them
 * all. A thread that puts a line into a sleeping writer's ring wakes it, which costs a system call;
 * the writer then gathers for GATHER_MS, or until a ring is half full, before it writes, so under
 * load that is paid some hundred times a second, not once a line. Rings of ended threads are taken
 * over by new ones. */
#include "log/log.h"

#include "base/check.h"
#include "log/line.h"
#include "log/ring.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { GATHER_MS = 5 };

/* Of a thread. */
struct source {
	struct source *next;
	bool taken; /* guarded by lock */
	struct ring ring;
	struct line line; /* the one being made */
};

static struct {
	const char *service;
	int fd;
	int wake_fd;
	pthread_t writer;
} sink = {.service = "", .fd = STDERR_FILENO, .wake_fd = -1};

static atomic_int level_now = LEVEL_INFO;
static atomic_bool started;
static atomic_bool stopping;
static atomic_bool writer_sleeps;
static _Atomic(struct source *) sources; /* only ever grows */
static atomic_uint_fast64_t dropped;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t source_key; /* for its destructor */
static _Thread_local struct source *own;

static const char *const level_names[] = {
	[LEVEL_DEBUG] = "debug",
	[LEVEL_INFO] = "info",
	[LEVEL_WARN] = "warn",
	[LEVEL_ERROR] = "error",
};

static void set_up_once(void);
static struct source *own_source(void);
static struct source *take_over(void);
static void give_back(void *source);
static void wake_writer(void);
static void *write_lines(void *arg);
static void wait_for_lines(void);
static void gather(void);
static bool write_all_sources(void);
static void report_dropped(void);
static void write_out(struct str bytes);

void log_start(const char *service, int fd)
{
	sigset_t all, before;

	CHECK(!atomic_load(&started));
	pthread_once(&once, set_up_once);
	sink.service = service;
	sink.fd = fd;
	sink.wake_fd = eventfd(0, EFD_CLOEXEC);
	CHECK(sink.wake_fd >= 0);
	atomic_store(&stopping, false);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	CHECK(pthread_create(&sink.writer, NULL, write_lines, NULL) == 0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	atomic_store(&started, true);
}

void log_stop(void)
{
	if (!atomic_exchange(&started, false))
		return;
	atomic_store(&stopping, true);
	wake_writer();
	pthread_join(sink.writer, NULL);
	close(sink.wake_fd);
	sink.wake_fd = -1;
	sink.fd = STDERR_FILENO;
}

void log_set_level(enum level level)
{
	atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

enum level log_level(void)
{
	return (enum level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

bool log_is_on(enum level level)
{
	return level >= log_level();
}

bool log_level_parse(struct str name, enum level *level)
{
	for (int i = LEVEL_DEBUG; i <= LEVEL_ERROR; i++) {
		if (!str_eq(name, str_from(level_names[i])))
			continue;
		*level = (enum level)i;
		return true;
	}
	return false;
}

const char *log_level_name(enum level level)
{
	return level_names[level];
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&dropped, memory_order_relaxed);
}

void log_write(const struct log_context *context, enum level level, const char *message,
	const struct log_pair *pairs)
{
	struct source *source = own_source();
	struct line *line = &source->line;
	size_t used;

	line_make(line, sink.service, context, level, message, pairs);
	if (!atomic_load_explicit(&started, memory_order_acquire)) {
		write_out(str_of(line->at, line->len));
		return;
	}
	used = ring_put(&source->ring, str_of(line->at, line->len));
	if (used == 0) {
		atomic_fetch_add_explicit(&dropped, 1, memory_order_relaxed);
		return;
	}
	/* put, then look; the writer does it the other way round in wait_for_lines: it sees the
	 * line (and the source, if that is new) or we see that it sleeps */
	if (atomic_load(&writer_sleeps) && atomic_exchange(&writer_sleeps, false))
		wake_writer();
	else if (used > RING_BYTES / 2 && used - line->len <= RING_BYTES / 2)
		wake_writer(); /* no time to gather more */
}

static void set_up_once(void)
{
	CHECK(pthread_key_create(&source_key, give_back) == 0);
	atexit(log_stop);
}

static struct source *own_source(void)
{
	if (own != NULL)
		return own;
	pthread_once(&once, set_up_once);
	own = take_over();
	if (own == NULL) {
		own = aligned_alloc(_Alignof(struct source), sizeof *own);
		CHECK(own != NULL);
		memset(own, 0, offsetof(struct source, ring.bytes));
		own->taken = true;
		pthread_mutex_lock(&lock);
		own->next = atomic_load_explicit(&sources, memory_order_relaxed);
		atomic_store(&sources, own);
		pthread_mutex_unlock(&lock);
	}
	pthread_setspecific(source_key, own);
	return own;
}

static struct source *take_over(void)
{
	struct source *found;

	pthread_mutex_lock(&lock);
	found = atomic_load_explicit(&sources, memory_order_relaxed);
	while (found != NULL && found->taken)
		found = found->next;
	if (found != NULL)
		found->taken = true;
	pthread_mutex_unlock(&lock);
	return found;
}

static void give_back(void *source)
{
	pthread_mutex_lock(&lock);
	((struct source *)source)->taken = false;
	pthread_mutex_unlock(&lock);
	own = NULL;
}

static void wake_writer(void)
{
	const uint64_t one = 1;

	(void)!write(sink.wake_fd, &one, sizeof one);
}

static void *write_lines(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "log");
	while (!atomic_load(&stopping)) {
		wait_for_lines();
		if (!atomic_load(&stopping))
			gather();
		while (write_all_sources())
			;
		report_dropped();
	}
	while (write_all_sources())
		;
	report_dropped();
	return NULL;
}

static void wait_for_lines(void)
{
	uint64_t count;

	atomic_store(&writer_sleeps, true);
	if (write_all_sources() && atomic_exchange(&writer_sleeps, false))
		return; /* else someone has woken us, and the count must be read */
	(void)!read(sink.wake_fd, &count, sizeof count);
}

/* A wake-up is taken off the descriptor, or it would cut short all later gathering too. */
static void gather(void)
{
	uint64_t count;

	if (poll(&(struct pollfd){.fd = sink.wake_fd, .events = POLLIN}, 1, GATHER_MS) > 0)
		(void)!read(sink.wake_fd, &count, sizeof count);
}

/* False when there was nothing. */
static bool write_all_sources(void)
{
	struct source *source = atomic_load(&sources);
	bool any = false;

	for (; source != NULL; source = source->next) {
		struct str pieces[2];
		const size_t count = ring_peek(&source->ring, pieces);

		if (count == 0)
			continue;
		write_out(pieces[0]);
		write_out(pieces[1]);
		ring_drop(&source->ring, count);
		any = true;
	}
	return any;
}

static void report_dropped(void)
{
	static uint64_t reported;
	static struct line line;
	const uint64_t now = log_dropped();

	if (now == reported)
		return;
	line_make(&line, sink.service, NULL, LEVEL_WARN, "log lines dropped",
		(const struct log_pair[]){LOG_INT("count", now - reported), {0}});
	reported = now;
	write_out(str_of(line.at, line.len));
}

/* A descriptor that others set to non-blocking is waited for; one that is broken loses the bytes.
 */
static void write_out(struct str bytes)
{
	while (bytes.len > 0) {
		const ssize_t written = write(sink.fd, bytes.at, bytes.len);

		if (written >= 0)
			bytes = str_skip(bytes, (size_t)written);
		else if (errno == EAGAIN)
			poll(&(struct pollfd){.fd = sink.fd, .events = POLLOUT}, 1, -1);
		else if (errno != EINTR)
			return;
	}
}
