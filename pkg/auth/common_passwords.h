/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

enum { COMMON_PASSWORD_MAX = 16 };

/* In lower case, sorted by strcmp. */
extern const char common_passwords[][COMMON_PASSWORD_MAX + 1];
extern const size_t common_password_count;
