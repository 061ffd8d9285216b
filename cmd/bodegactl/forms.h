/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "checklist.h"

/* Checks of what a configuration holds, without asking anybody. */

/* A secret of 32 bytes or more in base64, which never changes. */
void form_bytes(struct checklist *list, const char *name, struct str text);

/* One that does (auth/secret.h); bytes_max 0: no bound. */
void form_secret(struct checklist *list, const char *name, struct str text, size_t bytes_max);

void form_internal_secrets(struct checklist *list, struct str text);
void form_webhook_secrets(struct checklist *list, struct str text);

/* A certificate chain and its key in PEM: belong together, and are good today. */
void form_tls_pair(struct checklist *list, struct str cert_file, struct str key_file);
