/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* Where RabbitMQ is, and what is ours there. Texts are borrowed. */
struct broker {
	struct str url; /* amqp://user:password@host:port/vhost */
	const char *url_file; /* the URL stands in this file, read anew at each connect; or NULL */
	const char *name; /* of the program, as the broker shows it */
};

#define BROKER_EXCHANGE "bodega.events" /* topic, durable; routing keys are types of events */

/* Whether this is a URL of the form above. */
bool broker_url_valid(struct str url);
