/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

/* Whose webhooks are taken ("whsec_…", several with spaces between): see service_secret. */
enum fault webhook_set_secrets(struct scope *s, struct str text) MUST_CHECK;
