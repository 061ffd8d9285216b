/* SPDX-License-Identifier: Apache-2.0
 * Names that are being looked up, or lately were, in one table for the process. A lookup waits in
 * its name's list (the table's lock guards it) until the name's thread takes it out and posts it to
 * its loop with the answer; whoever takes it out of the list (thread, time, cancellation) is the
 * one that ends it. */
#include "fiber/lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/clock.h"
#include "fiber/private.h"

enum { THREAD_STACK_BYTES = 256 << 10 };

struct lookup {
	struct list link; /* in name->waiting */
	struct loop_message message;
	struct loop_timer timer;
	struct loop *loop;
	struct lookup_answer *answer;
	void (*done)(void *arg, const struct lookup_answer *answer); /* NULL: cancelled */
	void *arg;
};

struct name {
	struct list waiting;
	bool running; /* its thread */
	struct lookup_answer *last; /* NULL before the first */
	char text[LOOKUP_NAME_MAX + 1];
};

static struct {
	pthread_mutex_t lock;
	struct name *names[LOOKUP_NAMES_MAX];
} table = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct lookup_answer *ask(struct lookup *lookup, struct str text);
static void forget_old_names(int64_t now_us);
static struct name *find_name(struct str text);
static struct name *add_name(struct str text);
static bool run_thread(struct name *name);
static void *run(void *arg);
static struct lookup_answer *resolve(const char *name);
static struct lookup_answer *answer_new(size_t count, const char *error);
static struct lookup_answer *answer_use(struct lookup_answer *answer);
static void answer_drop(struct lookup_answer *answer);
static bool stop_waiting(struct lookup *lookup);
static void post(struct lookup *lookup, struct lookup_answer *answer);
static void on_answer(struct loop_message *message);
static void on_late(struct loop_timer *timer);
static void lookup_free(struct lookup *lookup);

struct lookup *lookup_start(struct loop *l, struct str name,
	void (*done)(void *arg, const struct lookup_answer *answer), void *arg)
{
	struct lookup *lookup = calloc(1, sizeof *lookup);
	struct lookup_address numeric;
	struct lookup_answer *answer;

	CHECK(lookup != NULL);
	*lookup = (struct lookup){.message.run = on_answer,
		.timer.fire = on_late,
		.loop = l,
		.done = done,
		.arg = arg};
	l->job_count++;
	loop_timer_set(l, &lookup->timer, loop_now_us(l) + LOOKUP_US);
	if (lookup_numeric(name, &numeric)) {
		answer = answer_new(1, NULL);
		answer->addresses[0] = numeric;
	} else if (!lookup_name_valid(name)) {
		answer = answer_new(0, "it is no host's name");
	} else {
		answer = ask(lookup, name);
	}
	if (answer != NULL)
		post(lookup, answer);
	return lookup;
}

void lookup_cancel(struct lookup **lookup)
{
	struct lookup *cancelled = *lookup;

	*lookup = NULL;
	if (cancelled == NULL)
		return;
	if (stop_waiting(cancelled))
		lookup_free(cancelled);
	else
		cancelled->done = NULL; /* it is on its way to the loop, which frees it */
}

/* ---- names ---- */

/* NULL: the lookup waits for the name's thread. */
static struct lookup_answer *ask(struct lookup *lookup, struct str text)
{
	const int64_t now_us = clock_monotonic_us();
	struct lookup_answer *answer = NULL;

	pthread_mutex_lock(&table.lock);
	forget_old_names(now_us);
	struct name *name = find_name(text);
	if (name != NULL && !name->running)
		answer = answer_use(name->last);
	else if (name == NULL)
		name = add_name(text);
	if (name == NULL)
		answer = answer_new(0, "too many names are being looked up");
	if (answer == NULL)
		list_append(&name->waiting, &lookup->link);
	pthread_mutex_unlock(&table.lock);
	return answer;
}

static void forget_old_names(int64_t now_us)
{
	for (size_t i = 0; i < LOOKUP_NAMES_MAX; i++) {
		struct name *name = table.names[i];

		if (name == NULL || name->running || now_us < name->last->at_us + LOOKUP_SHARED_US)
			continue;
		table.names[i] = NULL;
		answer_drop(name->last);
		free(name);
	}
}

static struct name *find_name(struct str text)
{
	for (size_t i = 0; i < LOOKUP_NAMES_MAX; i++)
		if (table.names[i] != NULL && str_eq(str_from(table.names[i]->text), text))
			return table.names[i];
	return NULL;
}

/* With its thread; NULL when there is no room, or no thread. */
static struct name *add_name(struct str text)
{
	size_t place = 0;

	while (place < LOOKUP_NAMES_MAX && table.names[place] != NULL)
		place++;
	if (place == LOOKUP_NAMES_MAX)
		return NULL;
	struct name *name = calloc(1, sizeof *name);
	CHECK(name != NULL);
	memcpy(name->text, text.at, text.len);
	list_init(&name->waiting);
	name->running = run_thread(name);
	if (!name->running) {
		free(name);
		return NULL;
	}
	table.names[place] = name;
	return name;
}

/* ---- a name's thread ---- */

/* Nobody joins it: it may hang for longer than the program has left. Signals are for the main
 * thread. */
static bool run_thread(struct name *name)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;

	CHECK(pthread_attr_init(&attr) == 0);
	CHECK(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0);
	CHECK(pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES) == 0);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	const bool runs = pthread_create(&thread, &attr, run, name) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return runs;
}

static void *run(void *arg)
{
	struct name *name = arg;
	struct list *link;

	pthread_setname_np(pthread_self(), "lookup");
	struct lookup_answer *answer = resolve(name->text);
	pthread_mutex_lock(&table.lock);
	name->running = false;
	name->last = answer;
	while ((link = list_take(&name->waiting)) != NULL)
		post(CONTAINER_OF(link, struct lookup, link), answer_use(answer));
	pthread_mutex_unlock(&table.lock);
	return NULL;
}

static struct lookup_answer *resolve(const char *name)
{
	const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *found = NULL;
	size_t count = 0;
	const int error = getaddrinfo(name, NULL, &hints, &found);

	if (error != 0)
		return answer_new(
			0, error == EAI_SYSTEM ? strerrordesc_np(errno) : gai_strerror(error));
	for (const struct addrinfo *a = found; a != NULL; a = a->ai_next)
		count++;
	const bool cut = count > LOOKUP_ADDRESSES_MAX;
	if (cut)
		count = LOOKUP_ADDRESSES_MAX;
	struct lookup_answer *answer = answer_new(count, NULL);
	const struct addrinfo *a = found;
	for (size_t i = 0; i < count; i++, a = a->ai_next) {
		CHECK(a->ai_addrlen <= sizeof answer->addresses[i].at);
		memcpy(&answer->addresses[i].at, a->ai_addr, a->ai_addrlen);
		answer->addresses[i].len = a->ai_addrlen;
	}
	answer->cut = cut;
	freeaddrinfo(found);
	return answer;
}

/* ---- answers ---- */

static struct lookup_answer *answer_new(size_t count, const char *error)
{
	struct lookup_answer *answer =
		calloc(1, sizeof *answer + count * sizeof answer->addresses[0]);

	CHECK(answer != NULL);
	atomic_init(&answer->users, 1);
	answer->at_us = clock_monotonic_us();
	answer->error = error;
	answer->count = count;
	return answer;
}

static struct lookup_answer *answer_use(struct lookup_answer *answer)
{
	atomic_fetch_add(&answer->users, 1);
	return answer;
}

static void answer_drop(struct lookup_answer *answer)
{
	if (answer != NULL && atomic_fetch_sub(&answer->users, 1) == 1)
		free(answer);
}

/* ---- the way back ---- */

/* False when it waits no longer: its answer has been posted. */
static bool stop_waiting(struct lookup *lookup)
{
	pthread_mutex_lock(&table.lock);
	const bool waited = list_is_linked(&lookup->link);
	list_remove(&lookup->link);
	pthread_mutex_unlock(&table.lock);
	return waited;
}

static void post(struct lookup *lookup, struct lookup_answer *answer)
{
	lookup->answer = answer;
	loop_post(lookup->loop, &lookup->message);
}

static void on_answer(struct loop_message *message)
{
	struct lookup *lookup = CONTAINER_OF(message, struct lookup, message);

	if (lookup->done != NULL)
		lookup->done(lookup->arg, lookup->answer);
	lookup_free(lookup);
}

static void on_late(struct loop_timer *timer)
{
	struct lookup *lookup = CONTAINER_OF(timer, struct lookup, timer);

	if (!stop_waiting(lookup))
		return;
	lookup->answer = answer_new(0, "no name server answered in time");
	lookup->done(lookup->arg, lookup->answer);
	lookup_free(lookup);
}

static void lookup_free(struct lookup *lookup)
{
	loop_timer_clear(lookup->loop, &lookup->timer);
	lookup->loop->job_count--;
	answer_drop(lookup->answer);
	free(lookup);
}

/* ---- texts ---- */

bool lookup_numeric(struct str text, struct lookup_address *address)
{
	char copy[INET6_ADDRSTRLEN];

	*address = (struct lookup_address){0};
	if (text.len == 0 || text.len >= sizeof copy)
		return false;
	memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	address->at.v4.sin_family = AF_INET;
	address->len = sizeof address->at.v4;
	if (inet_pton(AF_INET, copy, &address->at.v4.sin_addr) == 1)
		return true;
	*address = (struct lookup_address){
		.at.v6.sin6_family = AF_INET6, .len = sizeof address->at.v6};
	return inet_pton(AF_INET6, copy, &address->at.v6.sin6_addr) == 1;
}

bool lookup_name_valid(struct str name)
{
	bool is_number = false; /* the label so far; as the last one it would be a wrong address */
	char before = '.';

	if (name.len == 0 || name.len > LOOKUP_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.len; i++) {
		const char c = name.at[i];
		const bool is_digit = c >= '0' && c <= '9';
		const bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (c == '.' ? before == '.' : !is_digit && !is_letter && c != '-' && c != '_')
			return false;
		if (c != '.')
			is_number = is_digit && (is_number || before == '.');
		before = c;
	}
	return !is_number;
}
