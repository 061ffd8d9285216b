/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"

/* W3C Trace Context: "00-<32 hex: trace>-<16 hex: span>-<2 hex: flags>". */
enum { TRACEPARENT_LEN = 55 };

/* Exactly that form in lower case, neither id all zero, version not ff. */
bool traceparent_is_valid(struct str text);

/* A span of our own: in the caller's trace when `incoming` is valid, else in a new one. */
struct str traceparent_next(struct arena *arena, struct str incoming);

/* The trace id, 32 hex digits. */
struct str traceparent_trace_id(struct str traceparent);

/* 32 random hex digits: the id of a request that came without one. */
struct str request_id_new(struct arena *arena);
