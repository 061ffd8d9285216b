/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"

/* Counters, gauges and histograms. Each thread counts in cells of its own, without locks or shared
 * cache lines; a scrape sums them up. Making one takes a lock: make it once and keep the pointer,
 * which any thread may use. Series live as long as the process; at most METRICS_SERIES_MAX exist,
 * later ones are counted in metrics_series_refused_total and go nowhere. */
enum { METRICS_SERIES_MAX = 4096, METRICS_CELLS_MAX = 32768 };

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct counter;
struct gauge;
struct histogram;

struct metric_label {
	const char *name;
	struct str value; /* copied; any bytes */
};

/* LABELS({"route", path}, {"method", STR("GET")}), or NULL for none. */
#define LABELS(...)                     \
	((const struct metric_label[]){ \
		__VA_ARGS__,            \
		{NULL, {NULL, 0}},      \
	})

/* The one of that name and these labels, made when it is new. `name` and `help` are literals; the
 * same in all series of a name, the label names too. Never NULL. */
struct counter *counter_get(const char *name, const char *help, const struct metric_label *labels);
struct gauge *gauge_get(const char *name, const char *help, const struct metric_label *labels);

void counter_add(struct counter *c, uint64_t n);
static inline void counter_inc(struct counter *c)
{
	counter_add(c, 1);
}

/* A gauge's value is the sum of what each thread has added or set. */
void gauge_add(struct gauge *g, int64_t n);
void gauge_set(struct gauge *g, int64_t value);

/* Upper bounds of a histogram's buckets, rising, in the unit that is observed; exported divided by
 * `per_unit`. */
struct histogram_shape {
	const int64_t *bounds;
	size_t count; /* at most HISTOGRAM_BOUNDS_MAX */
	int64_t per_unit;
};
enum { HISTOGRAM_BOUNDS_MAX = 24 };

/* Microseconds observed, seconds exported: 0.5 ms … 10 s. */
extern const struct histogram_shape histogram_seconds;
/* 256 bytes … 16 MiB. */
extern const struct histogram_shape histogram_bytes;

struct histogram *histogram_get(const char *name, const char *help,
	const struct histogram_shape *shape, const struct metric_label *labels);
void histogram_observe(struct histogram *h, int64_t value);

/* A gauge or counter (`name` ends in _total) whose value is asked for at each scrape, on the
 * scraping thread; fn makes no metrics. The same name and labels again replaces fn and arg; fn NULL
 * takes the series out, and after that fn is not running. */
void metric_callback(const char *name, const char *help, const struct metric_label *labels,
	int64_t (*fn)(void *arg), void *arg);

/* Everything in Prometheus' text format 0.0.4, the process' own metrics (CPU, memory, descriptors,
 * start time) too. */
void metrics_write(struct buf *out);

/* Sums over all threads: for tests, and for decisions that follow a metric. */
uint64_t counter_value(const struct counter *c);
int64_t gauge_value(const struct gauge *g);
uint64_t histogram_count(const struct histogram *h);
