/* SPDX-License-Identifier: Apache-2.0
 * Lists of entity tags as they come in If-Match and If-None-Match. Older clients send the bare
 * version without quotes; a lone one is understood. */
#include "http/etag.h"

static bool take_tag(struct str *rest, struct str *tag);
static struct str of_resource(struct str tag);

bool etag_list_has(struct str list, struct str etag)
{
	struct str rest = str_trim(list);
	struct str tag;

	if (str_eq(rest, STR("*")) || str_eq(rest, etag))
		return true;
	while (take_tag(&rest, &tag))
		if (str_eq(tag, etag))
			return true;
	return false;
}

bool etag_list_has_resource(struct str list, struct str etag)
{
	struct str rest = str_trim(list);
	struct str tag;

	if (str_eq(rest, STR("*")) || str_eq(of_resource(rest), etag))
		return true;
	while (take_tag(&rest, &tag))
		if (str_eq(of_resource(tag), etag))
			return true;
	return false;
}

bool etag_list_has_version(struct str list, struct str version)
{
	struct str rest = str_trim(list);
	struct str bare = of_resource(rest);
	struct str tag, first;

	if (str_eq(rest, STR("*")) || (str_cut(&bare, '.', &first) && str_eq(first, version)))
		return true;
	while (take_tag(&rest, &tag)) {
		tag = of_resource(tag);
		if (str_cut(&tag, '.', &first) && str_eq(first, version))
			return true;
	}
	return false;
}

static struct str of_resource(struct str tag)
{
	if (str_ends(tag, STR(ETAG_GZIP)))
		tag.len -= strlen(ETAG_GZIP);
	return tag;
}

/* Takes one tag with its comma off the front. */
static bool take_tag(struct str *rest, struct str *tag)
{
	const char *quote;

	if (str_starts(*rest, STR("W/")))
		*rest = str_skip(*rest, 2);
	if (rest->len == 0 || *rest->at != '"')
		return false;
	*rest = str_skip(*rest, 1);
	quote = memchr(rest->at, '"', rest->len);
	if (quote == NULL)
		return false;
	*tag = str_of(rest->at, (size_t)(quote - rest->at));
	*rest = str_trim(str_skip(*rest, tag->len + 1));
	if (rest->len > 0 && *rest->at != ',')
		*rest = STR_NONE;
	else
		*rest = str_trim(str_skip(*rest, 1));
	return true;
}
