/* SPDX-License-Identifier: Apache-2.0
 * "gzip;q=0.8, *;q=0": what is named counts before "*". */
#include "http/accept_encoding.h"

static bool is_refused(struct str parameters);

bool accepts_gzip(struct str value)
{
	bool any = false;
	struct str rest = value, piece, coding;

	while (str_cut(&rest, ',', &piece)) {
		(void)str_cut(&piece, ';', &coding);
		coding = str_trim(coding);
		if (str_eq_fold(coding, STR("gzip")) || str_eq_fold(coding, STR("x-gzip")))
			return !is_refused(piece);
		if (str_eq(coding, STR("*")))
			any = !is_refused(piece);
	}
	return any;
}

/* A weight of nothing but zeros. */
static bool is_refused(struct str parameters)
{
	struct str weight = str_trim(parameters);

	if (weight.len < 2 || !str_eq_fold(str_of(weight.at, 2), STR("q=")))
		return false;
	for (size_t i = 2; i < weight.len; i++)
		if (weight.at[i] != '0' && weight.at[i] != '.')
			return false;
	return true;
}
