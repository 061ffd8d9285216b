/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* Before threads start: whose webhooks are taken ("whsec_…", several with spaces between).
 * FAULT_INVALID names WEBHOOK_SECRETS. `s` lives as long as the process. */
enum fault webhook_set_secrets(struct scope *s, struct str text) MUST_CHECK;
