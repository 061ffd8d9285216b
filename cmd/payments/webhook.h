/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "upstream/upstream.h"

/* Tells of changes that nobody waited for: a signed POST to /internal/webhooks/payments until it is
 * answered by 2xx. */

/* Once, before threads start; the first secret signs. */
void webhook_use_secrets(struct texts secrets);

/* On the thread that runs the job: where webhooks go. */
void webhook_use(struct upstream *receiver);

/* What is due now: a job. */
enum fault webhooks_deliver(struct task *t);
