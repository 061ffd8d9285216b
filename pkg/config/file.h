/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/scope.h"

enum { CONFIG_FILE_BYTES_MAX = 64 << 10 };

/* A file's bytes without the line end behind them, in s; `directory` as openat's. False with errno.
 */
bool config_read_file(struct scope *s, int directory, const char *path, struct str *text);
