/* SPDX-License-Identifier: Apache-2.0
 * The registry: families by name, their series by labels, in the order they were made. A series is
 * a range of cells (cells.h) and its labels as they will be printed. The lock guards the registry,
 * not the counting. What does not fit any more gets the first cells, which are printed nowhere. */
#include "metrics/metrics.h"

#include "base/check.h"
#include "base/list.h"
#include "metrics/cells.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum kind { KIND_COUNTER, KIND_GAUGE, KIND_HISTOGRAM };

/* A histogram's cells: one a bound, one for what is above all of them, one for the sum. */
enum { HISTOGRAM_EXTRA = 2, REFUSED_CELLS = HISTOGRAM_BOUNDS_MAX + HISTOGRAM_EXTRA };

struct series {
	struct series *next;
	struct str labels; /* route="/x",method="GET" */
	size_t cell;
	const struct histogram_shape *shape;
	int64_t (*fn)(void *arg);
	void *arg;
	bool gone;
};

struct counter {
	struct series series;
};

struct gauge {
	struct series series;
};

struct histogram {
	struct series series;
};

struct family {
	struct family *next;
	const char *name;
	const char *help;
	enum kind kind;
	struct series *first;
	struct series **end;
};

const struct histogram_shape histogram_seconds = {
	.bounds = (const int64_t[]){500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000,
		500000, 1000000, 2500000, 5000000, 10000000},
	.count = 14,
	.per_unit = 1000000,
};

const struct histogram_shape histogram_bytes = {
	.bounds = (const int64_t[]){256, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20,
		4 << 20, 16 << 20},
	.count = 9,
	.per_unit = 1,
};

static const char *const type_names[] = {
	[KIND_COUNTER] = "counter",
	[KIND_GAUGE] = "gauge",
	[KIND_HISTOGRAM] = "histogram",
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
	struct family *first;
	struct family **end;
	size_t series_count;
	size_t cell_count;
	uint64_t refused;
} registry = {.end = &registry.first, .cell_count = REFUSED_CELLS};

static struct series *get(const char *name, const char *help, enum kind kind,
	const struct metric_label *labels, const struct histogram_shape *shape);
static struct family *get_family(const char *name, const char *help, enum kind kind);
static struct series *find_series(const struct family *f, struct str labels);
static struct series *add_series(
	struct family *f, struct str labels, const struct histogram_shape *shape);
static size_t cells_of(const struct histogram_shape *shape);
static void add_label_value(struct buf *b, struct str value);
static void write_family(struct buf *out, const struct family *f);
static void write_series(struct buf *out, const struct family *f, const struct series *s);
static void write_histogram(struct buf *out, const struct family *f, const struct series *s);
static void write_sample(
	struct buf *out, const char *name, const char *suffix, struct str labels, int64_t value);

struct counter *counter_get(const char *name, const char *help, const struct metric_label *labels)
{
	return CONTAINER_OF(get(name, help, KIND_COUNTER, labels, NULL), struct counter, series);
}

struct gauge *gauge_get(const char *name, const char *help, const struct metric_label *labels)
{
	return CONTAINER_OF(get(name, help, KIND_GAUGE, labels, NULL), struct gauge, series);
}

struct histogram *histogram_get(const char *name, const char *help,
	const struct histogram_shape *shape, const struct metric_label *labels)
{
	CHECK(shape->count <= HISTOGRAM_BOUNDS_MAX);
	return CONTAINER_OF(
		get(name, help, KIND_HISTOGRAM, labels, shape), struct histogram, series);
}

void counter_add(struct counter *c, uint64_t n)
{
	cells_add(c->series.cell, (int64_t)n);
}

void gauge_add(struct gauge *g, int64_t n)
{
	cells_add(g->series.cell, n);
}

void gauge_set(struct gauge *g, int64_t value)
{
	cells_set(g->series.cell, value);
}

void histogram_observe(struct histogram *h, int64_t value)
{
	const struct histogram_shape *shape = h->series.shape;
	size_t bucket = 0;

	while (bucket < shape->count && value > shape->bounds[bucket])
		bucket++;
	cells_add(h->series.cell + bucket, 1);
	cells_add(h->series.cell + shape->count + 1, value);
}

void metric_callback(const char *name, const char *help, const struct metric_label *labels,
	int64_t (*fn)(void *arg), void *arg)
{
	const bool total = str_ends(str_from(name), STR("_total"));
	struct series *s = get(name, help, total ? KIND_COUNTER : KIND_GAUGE, labels, NULL);

	pthread_mutex_lock(&lock);
	s->fn = fn;
	s->arg = arg;
	s->gone = fn == NULL;
	pthread_mutex_unlock(&lock);
}

void metrics_write(struct buf *out)
{
	pthread_mutex_lock(&lock);
	for (const struct family *f = registry.first; f != NULL; f = f->next)
		write_family(out, f);
	buf_format(out,
		"# HELP metrics_series_refused_total Series not made because there were too many.\n"
		"# TYPE metrics_series_refused_total counter\n"
		"metrics_series_refused_total %" PRIu64 "\n",
		registry.refused);
	process_write(out);
	pthread_mutex_unlock(&lock);
}

uint64_t counter_value(const struct counter *c)
{
	return (uint64_t)cells_sum(c->series.cell);
}

int64_t gauge_value(const struct gauge *g)
{
	return cells_sum(g->series.cell);
}

uint64_t histogram_count(const struct histogram *h)
{
	uint64_t count = 0;

	for (size_t i = 0; i <= h->series.shape->count; i++)
		count += (uint64_t)cells_sum(h->series.cell + i);
	return count;
}

static struct series *get(const char *name, const char *help, enum kind kind,
	const struct metric_label *labels, const struct histogram_shape *shape)
{
	struct arena *scratch = arena_new();
	struct buf text = buf_new(scratch);
	struct family *f;
	struct series *s;

	for (const struct metric_label *l = labels; l != NULL && l->name != NULL; l++) {
		buf_format(&text, "%s%s=\"", text.len > 0 ? "," : "", l->name);
		add_label_value(&text, l->value);
		buf_char(&text, '"');
	}
	pthread_mutex_lock(&lock);
	f = get_family(name, help, kind);
	s = find_series(f, buf_str(&text));
	if (s == NULL)
		s = add_series(f, buf_str(&text), shape);
	pthread_mutex_unlock(&lock);
	arena_unref(scratch);
	return s;
}

static struct family *get_family(const char *name, const char *help, enum kind kind)
{
	struct family *f = registry.first;

	while (f != NULL && strcmp(f->name, name) != 0)
		f = f->next;
	if (f != NULL) {
		CHECK(f->kind == kind);
		return f;
	}
	f = calloc(1, sizeof *f);
	CHECK(f != NULL);
	*f = (struct family){.name = name, .help = help, .kind = kind, .end = &f->first};
	*registry.end = f;
	registry.end = &f->next;
	return f;
}

static struct series *find_series(const struct family *f, struct str labels)
{
	struct series *s = f->first;

	while (s != NULL && !str_eq(s->labels, labels))
		s = s->next;
	return s;
}

static struct series *add_series(
	struct family *f, struct str labels, const struct histogram_shape *shape)
{
	static struct series refused = {.shape = &histogram_seconds};
	const size_t cells = cells_of(shape);
	struct series *s;

	if (registry.series_count == METRICS_SERIES_MAX ||
		registry.cell_count + cells > METRICS_CELLS_MAX) {
		registry.refused++;
		return &refused;
	}
	s = calloc(1, sizeof *s + labels.len);
	CHECK(s != NULL);
	memcpy(s + 1, labels.at, labels.len);
	*s = (struct series){
		.labels = str_of((const char *)(s + 1), labels.len),
		.cell = registry.cell_count,
		.shape = shape,
	};
	registry.cell_count += cells;
	registry.series_count++;
	*f->end = s;
	f->end = &s->next;
	return s;
}

static size_t cells_of(const struct histogram_shape *shape)
{
	return shape != NULL ? shape->count + HISTOGRAM_EXTRA : 1;
}

/* Backslash, quote and line end are escaped; bytes that are no UTF-8 become question marks. */
static void add_label_value(struct buf *b, struct str value)
{
	const bool readable = str_is_utf8(value);

	for (size_t i = 0; i < value.len; i++) {
		const char c = value.at[i];

		if (c == '\\' || c == '"')
			buf_char(b, '\\');
		if (c == '\n')
			buf_add(b, STR("\\n"));
		else
			buf_char(b, readable || (unsigned char)c < 0x80 ? c : '?');
	}
}

static void write_family(struct buf *out, const struct family *f)
{
	const struct series *s = f->first;

	while (s != NULL && s->gone)
		s = s->next;
	if (s == NULL)
		return;
	buf_format(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name,
		type_names[f->kind]);
	for (; s != NULL; s = s->next)
		if (!s->gone)
			write_series(out, f, s);
}

static void write_series(struct buf *out, const struct family *f, const struct series *s)
{
	if (f->kind == KIND_HISTOGRAM)
		write_histogram(out, f, s);
	else
		write_sample(out, f->name, "", s->labels,
			s->fn != NULL ? s->fn(s->arg) : cells_sum(s->cell));
}

static void write_histogram(struct buf *out, const struct family *f, const struct series *s)
{
	const struct histogram_shape *shape = s->shape;
	const double unit = (double)shape->per_unit;
	const char *comma = s->labels.len > 0 ? "," : "";
	int64_t below = 0;

	for (size_t i = 0; i < shape->count; i++) {
		below += cells_sum(s->cell + i);
		buf_format(out, "%s_bucket{%.*s%sle=\"%.15g\"} %" PRId64 "\n", f->name,
			STR_ARG(s->labels), comma, (double)shape->bounds[i] / unit, below);
	}
	below += cells_sum(s->cell + shape->count);
	buf_format(out, "%s_bucket{%.*s%sle=\"+Inf\"} %" PRId64 "\n", f->name, STR_ARG(s->labels),
		comma, below);
	buf_format(out, s->labels.len > 0 ? "%s_sum{%.*s} %.15g\n" : "%s_sum%.*s %.15g\n", f->name,
		STR_ARG(s->labels), (double)cells_sum(s->cell + shape->count + 1) / unit);
	write_sample(out, f->name, "_count", s->labels, below);
}

static void write_sample(
	struct buf *out, const char *name, const char *suffix, struct str labels, int64_t value)
{
	buf_add(out, str_from(name));
	buf_add(out, str_from(suffix));
	if (labels.len > 0) {
		buf_char(out, '{');
		buf_add(out, labels);
		buf_char(out, '}');
	}
	buf_char(out, ' ');
	buf_int64(out, value);
	buf_char(out, '\n');
}
