/* SPDX-License-Identifier: Apache-2.0
 * How many streams each person has open here. Threads share this, under a lock that is taken when a
 * stream begins or ends and at no other time. */
#include "base/check.h"
#include "live.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 256 };

struct person {
	struct list link;
	struct uuid id;
	unsigned streams;
};

static struct list buckets[BUCKETS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct person *find(struct list *bucket, const struct uuid *id);

/* The last bytes of our ids are random. */
static struct list *bucket_of(const struct uuid *id)
{
	struct list *const bucket = &buckets[id->bytes[15] % BUCKETS];

	if (bucket->next == NULL)
		list_init(bucket);
	return bucket;
}

bool persons_enter(const struct uuid *id)
{
	struct list *bucket;
	struct person *person;
	bool may;

	pthread_mutex_lock(&lock);
	bucket = bucket_of(id);
	person = find(bucket, id);
	if (person == NULL) {
		person = calloc(1, sizeof *person);
		CHECK(person != NULL);
		person->id = *id;
		list_append(bucket, &person->link);
	}
	may = person->streams < LIVE_STREAMS_A_PERSON;
	person->streams += may;
	pthread_mutex_unlock(&lock);
	return may;
}

void persons_leave(const struct uuid *id)
{
	struct person *person;

	pthread_mutex_lock(&lock);
	person = find(bucket_of(id), id);
	CHECK(person != NULL);
	if (--person->streams == 0) {
		list_remove(&person->link);
		free(person);
	}
	pthread_mutex_unlock(&lock);
}

static struct person *find(struct list *bucket, const struct uuid *id)
{
	for (struct list *at = bucket->next; at != bucket; at = at->next) {
		struct person *const person = CONTAINER_OF(at, struct person, link);

		if (uuid_eq(&person->id, id))
			return person;
	}
	return NULL;
}
