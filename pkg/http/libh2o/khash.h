/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* h2o/http2_internal.h asks for klib's khash.h, which Debian leaves out. All that we need of it is
 * that a table is a pointer: nobody looks up a stream by these. */

#define KHASH_MAP_INIT_INT64(name, type)
#define khash_t(name) void
#define khiter_t int
#define kh_get(name, table, key) ((void)(table), (int)(key))
#define kh_end(table) ((void)(table), 0)
#define kh_val(table, iter) ((void)(iter), (h2o_http2_stream_t *)(table))
