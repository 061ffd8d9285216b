/* SPDX-License-Identifier: Apache-2.0
 * A thread's cells are made at its first count and outlive it: its counts stay in the sums, and the
 * next new thread goes on counting in them. */
#include "metrics/cells.h"

#include "base/check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct cells {
	struct cells *next;
	bool taken; /* guarded by lock */
	_Atomic int64_t at[METRICS_CELLS_MAX]; /* untouched pages cost nothing */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key; /* for its destructor */
static _Atomic(struct cells *) all; /* only ever grows */
static _Thread_local struct cells *own;

static struct cells *own_cells(void);
static void make_key(void);
static void give_back(void *cells);

void cells_add(size_t cell, int64_t n)
{
	_Atomic int64_t *at = &own_cells()->at[cell];

	atomic_store_explicit(
		at, atomic_load_explicit(at, memory_order_relaxed) + n, memory_order_relaxed);
}

void cells_set(size_t cell, int64_t value)
{
	atomic_store_explicit(&own_cells()->at[cell], value, memory_order_relaxed);
}

int64_t cells_sum(size_t cell)
{
	const struct cells *c = atomic_load_explicit(&all, memory_order_acquire);
	int64_t sum = 0;

	for (; c != NULL; c = c->next)
		sum += atomic_load_explicit(&c->at[cell], memory_order_relaxed);
	return sum;
}

static struct cells *own_cells(void)
{
	struct cells *c = own;

	if (c != NULL)
		return c;
	pthread_once(&once, make_key);
	pthread_mutex_lock(&lock);
	c = atomic_load_explicit(&all, memory_order_relaxed);
	while (c != NULL && c->taken)
		c = c->next;
	if (c == NULL) {
		c = calloc(1, sizeof *c);
		CHECK(c != NULL);
		c->next = atomic_load_explicit(&all, memory_order_relaxed);
		atomic_store_explicit(&all, c, memory_order_release);
	}
	c->taken = true;
	pthread_mutex_unlock(&lock);
	pthread_setspecific(key, c);
	own = c;
	return c;
}

static void make_key(void)
{
	CHECK(pthread_key_create(&key, give_back) == 0);
}

static void give_back(void *cells)
{
	pthread_mutex_lock(&lock);
	((struct cells *)cells)->taken = false;
	pthread_mutex_unlock(&lock);
	own = NULL;
}
