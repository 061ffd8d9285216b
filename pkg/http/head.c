/* SPDX-License-Identifier: Apache-2.0
 * One pass over the lines of a head. Whoever stands before us (a load balancer, a gateway) may have
 * framed the same bytes by other rules; so what could be read in two ways is an error. */
#include "http/head.h"

#include <strings.h>

struct framing {
	unsigned hosts;
	unsigned content_lengths;
	unsigned transfer_encodings;
	bool http_1_0;
};

static enum fault find_end(struct scope *s, struct str input, struct str *head);
static bool take_line(struct str *rest, struct str *line);
static enum fault check_request_line(struct scope *s, struct str line, struct framing *f);
static enum fault check_header(struct scope *s, struct str line, struct framing *f);
static enum fault check_framing(struct scope *s, const struct framing *f);
static enum fault check_special(
	struct scope *s, struct str name, struct str value, struct framing *f);
static bool is_token(struct str text);
static bool is_digits(struct str text);

enum fault head_check(struct scope *s, struct str input)
{
	struct framing f = {0};
	struct str rest, line;

	TRY(find_end(s, input, &rest));
	if (str_starts(rest, STR("\r\n")))
		rest = str_skip(rest, 2); /* RFC 9112 2.2: one empty line before it is ignored */
	if (!take_line(&rest, &line))
		return fail(s, FAULT_BAD_REQUEST, "the request line does not end in CRLF");
	TRY(check_request_line(s, line, &f));
	while (rest.len > 0) {
		if (!take_line(&rest, &line))
			return fail(s, FAULT_BAD_REQUEST, "a header line does not end in CRLF");
		TRY(check_header(s, line, &f));
	}
	return check_framing(s, &f);
}

bool head_authority_is_valid(struct str authority)
{
	for (size_t i = 0; i < authority.len; i++) {
		const char c = authority.at[i];
		const bool alphanumeric =
			(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!alphanumeric && (c == '\0' || strchr("-._~:[]", c) == NULL))
			return false;
	}
	return true;
}

/* The head with the CRLF of its last line, without the empty line. */
static enum fault find_end(struct scope *s, struct str input, struct str *head)
{
	const size_t looked_at = input.len < HEAD_BYTES_MAX ? input.len : HEAD_BYTES_MAX;
	const char *end = memmem(input.at, looked_at, "\r\n\r\n", 4);

	if (end != NULL) {
		*head = str_of(input.at, (size_t)(end - input.at) + 2);
		return OK;
	}
	if (input.len >= HEAD_BYTES_MAX)
		return fail(s, FAULT_HEAD_TOO_LARGE, "a head has at most %d bytes", HEAD_BYTES_MAX);
	return fail(s, FAULT_BAD_REQUEST, "a header line does not end in CRLF");
}

static bool take_line(struct str *rest, struct str *line)
{
	const char *lf = memchr(rest->at, '\n', rest->len);

	if (lf == NULL || lf == rest->at || lf[-1] != '\r')
		return false;
	*line = str_of(rest->at, (size_t)(lf - rest->at) - 1);
	*rest = str_skip(*rest, (size_t)(lf - rest->at) + 1);
	return memchr(line->at, '\r', line->len) == NULL;
}

static enum fault check_request_line(struct scope *s, struct str line, struct framing *f)
{
	struct str method, target;

	if (!str_cut(&line, ' ', &method) || !str_cut(&line, ' ', &target) || !is_token(method))
		return fail(s, FAULT_BAD_REQUEST,
			"the request line is not \"METHOD /target HTTP/1.1\"");
	if (target.len == 0 || target.at[0] != '/')
		return fail(s, FAULT_BAD_REQUEST, "the target must start with '/'");
	f->http_1_0 = str_eq(line, STR("HTTP/1.0"));
	if (!f->http_1_0 && !str_eq(line, STR("HTTP/1.1")))
		return fail(s, FAULT_BAD_REQUEST, "the version is neither HTTP/1.1 nor HTTP/1.0");
	return OK;
}

static enum fault check_header(struct scope *s, struct str line, struct framing *f)
{
	const char *colon = memchr(line.at, ':', line.len);
	struct str name, value;

	if (line.len > 0 && (line.at[0] == ' ' || line.at[0] == '\t'))
		return fail(s, FAULT_BAD_REQUEST, "a header may not be folded over lines");
	if (colon == NULL)
		return fail(s, FAULT_BAD_REQUEST, "a header line has no colon");
	name = str_of(line.at, (size_t)(colon - line.at));
	value = str_trim(str_skip(line, name.len + 1));
	if (!is_token(name))
		return fail(s, FAULT_BAD_REQUEST, "a header's name is not a token");
	for (size_t i = 0; i < value.len; i++) {
		const unsigned char c = (unsigned char)value.at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return fail(
				s, FAULT_BAD_REQUEST, "a header's value has a control character");
	}
	return check_special(s, name, value, f);
}

static enum fault check_special(
	struct scope *s, struct str name, struct str value, struct framing *f)
{
	if (str_eq_fold(name, STR("host"))) {
		f->hosts++;
		if (!head_authority_is_valid(value))
			return fail(
				s, FAULT_BAD_REQUEST, "Host is not a name with an optional port");
	} else if (str_eq_fold(name, STR("content-length"))) {
		f->content_lengths++;
		if (!is_digits(value))
			return fail(s, FAULT_BAD_REQUEST, "Content-Length is not one number");
	} else if (str_eq_fold(name, STR("transfer-encoding"))) {
		f->transfer_encodings++;
		if (!str_eq_fold(value, STR("chunked")))
			return fail(s, FAULT_BAD_REQUEST, "Transfer-Encoding is not \"chunked\"");
	}
	return OK;
}

static enum fault check_framing(struct scope *s, const struct framing *f)
{
	if (f->hosts > 1)
		return fail(s, FAULT_BAD_REQUEST, "Host is there twice");
	if (f->hosts == 0 && !f->http_1_0)
		return fail(s, FAULT_BAD_REQUEST, "Host is missing");
	if (f->content_lengths > 1)
		return fail(s, FAULT_BAD_REQUEST, "Content-Length is there twice");
	if (f->transfer_encodings > 1)
		return fail(s, FAULT_BAD_REQUEST, "Transfer-Encoding is there twice");
	if (f->transfer_encodings > 0 && f->content_lengths > 0)
		return fail(s, FAULT_BAD_REQUEST, "both Content-Length and Transfer-Encoding");
	if (f->transfer_encodings > 0 && f->http_1_0)
		return fail(s, FAULT_BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding");
	return OK;
}

/* RFC 9110 5.6.2. */
static bool is_token(struct str text)
{
	static const char specials[] = "!#$%&'*+-.^_`|~";

	if (text.len == 0)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		const char c = text.at[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			continue;
		if (memchr(specials, c, sizeof specials - 1) == NULL)
			return false;
	}
	return true;
}

static bool is_digits(struct str text)
{
	if (text.len == 0 || text.len > 18)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (text.at[i] < '0' || text.at[i] > '9')
			return false;
	return true;
}
