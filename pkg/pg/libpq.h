/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* libpq-fe.h has a type pg_int64 for large objects; here that is the name of a parameter's
 * constructor. Private to the package. */
#define pg_int64 libpq_int64
#include <libpq-fe.h>
#undef pg_int64
