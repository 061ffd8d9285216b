/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "http/route.h"

#include "service/service.h"

/* The parts of the program for each other. */

struct payments_settings {
	int64_t seed;
	int64_t slow_delay_us;
	int64_t async_delay_us;
	struct str webhook_secrets;
};
extern struct payments_settings payments_settings;

/* payment.c */
handler_fn payment_put, payment_read, payment_do_capture, payment_do_void, refund_put;

/* Settles payments whose time has come: a job. */
enum fault payments_do_settle(struct task *t);

extern const struct service payments_service;
