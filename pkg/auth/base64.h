/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/arena.h"

/* RFC 4648: `BASE64` with padding, `BASE64URL` without. */
enum base64_kind { BASE64, BASE64URL };

struct str base64_encode(struct arena *arena, enum base64_kind kind, struct str bytes);

/* False for anything that base64_encode would not have written for these bytes: other characters,
 * wrong padding, bits left over. */
bool base64_decode(struct arena *arena, enum base64_kind kind, struct str text, struct str *bytes);
