/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "upstream/upstream.h"

/* Tells of changes that nobody waited for: a signed POST to /internal/webhooks/payments until it is
 * answered by 2xx. */

/* The value of WEBHOOK_SECRETS, of which the first one signs: see service_secret. */
enum fault webhook_set_secrets(struct scope *s, struct str text) MUST_CHECK;

/* On the thread that runs the job: where webhooks go. */
void webhook_use(struct upstream *receiver);

/* What is due now: a job. */
enum fault webhooks_deliver(struct task *t);

/* Forgets what was taken a day ago: a job. */
enum fault webhooks_sweep(struct task *t);
