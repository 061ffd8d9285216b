/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/str.h"

/* Whether the value of Accept-Encoding (RFC 9110 12.5.3) asks for gzip, by name or by "*", with a
 * weight that is not zero. */
bool accepts_gzip(struct str value);
