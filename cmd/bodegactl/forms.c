/* SPDX-License-Identifier: Apache-2.0
 * The form of secrets, read as the programs read them; none of them is shown. */
#include "forms.h"

#include "auth/base64.h"
#include "auth/crypto.h"
#include "auth/mac.h"
#include "auth/secret.h"
#include "auth/webhook.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

static enum fault check_pair(
	struct scope *s, struct str cert_file, struct str key_file, struct str *told);
static enum fault check_dates(struct scope *s, const X509 *certificate, struct str *told);
static enum fault refuse(struct scope *s, struct str file);
static void forget_context(void *arg);

void form_bytes(struct checklist *list, const char *name, struct str text)
{
	struct str bytes = STR_NONE;
	const bool ok = base64_decode(list->s->arena, BASE64, str_trim(text), &bytes) &&
	                bytes.len >= SECRET_BYTES_MIN;

	checklist_add(list, "secret", str_from(name), ok,
		ok ? scope_format(list->s, "%zu bytes", bytes.len)
		   : scope_format(list->s, "must be %d bytes or more in base64", SECRET_BYTES_MIN));
}

void form_secret(struct checklist *list, const char *name, struct str text, size_t bytes_max)
{
	struct secret secret;
	const bool ok = secret_read(list->s, name, text, &secret) == OK &&
	                (bytes_max == 0 || (secret.current.len <= bytes_max &&
						   secret.previous.len <= bytes_max));

	scope_forgive(list->s); /* it is in the list */
	checklist_add(list, "secret", str_from(name), ok,
		!ok ? scope_format(list->s, "must be %d bytes%s in base64, once or twice",
			      SECRET_BYTES_MIN, bytes_max == 0 ? " or more" : "")
		: secret.previous.at != NULL ? STR("two: it is being changed")
					     : STR("one"));
}

void form_internal_secrets(struct checklist *list, struct str text)
{
	struct mac_secrets secrets = {0};
	const enum fault fault = mac_secrets_read(list->s, text, &secrets);

	(void)checklist_fault(list, "secret", STR("INTERNAL_SECRETS"), fault,
		scope_format(list->s, "%zu pairs", secrets.count));
}

void form_webhook_secrets(struct checklist *list, struct str text)
{
	struct texts secrets = {0};
	const enum fault fault = webhook_secrets_read(list->s, text, &secrets);

	if (fault != OK && list->s->errors != NULL)
		list->s->detail = list->s->errors->message;
	(void)checklist_fault(list, "secret", STR("WEBHOOK_SECRETS"), fault,
		scope_format(list->s, "%zu", secrets.count));
}

/* ---- TLS ---- */

void form_tls_pair(struct checklist *list, struct str cert_file, struct str key_file)
{
	struct str told = STR_NONE;
	const enum fault fault = check_pair(list->s, cert_file, key_file, &told);

	(void)checklist_fault(list, "tls", cert_file, fault, told);
}

static enum fault check_pair(
	struct scope *s, struct str cert_file, struct str key_file, struct str *told)
{
	SSL_CTX *const context = SSL_CTX_new(TLS_server_method());

	if (context == NULL)
		return refuse(s, cert_file);
	scope_defer(s, forget_context, context);
	if (SSL_CTX_use_certificate_chain_file(context, scope_dup(s, cert_file).at) != 1)
		return refuse(s, cert_file);
	if (SSL_CTX_use_PrivateKey_file(context, scope_dup(s, key_file).at, SSL_FILETYPE_PEM) != 1)
		return refuse(s, key_file);
	if (SSL_CTX_check_private_key(context) != 1)
		return fail(s, FAULT_INVALID, "the key is another certificate's");
	return check_dates(s, SSL_CTX_get0_certificate(context), told);
}

static enum fault check_dates(struct scope *s, const X509 *certificate, struct str *told)
{
	int days = 0, seconds = 0;

	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
		return fail(s, FAULT_INVALID, "the certificate is not valid yet");
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		return fail(s, FAULT_INVALID, "the certificate has expired");
	(void)ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate));
	*told = scope_format(s, "good for %d more days", days);
	return OK;
}

static enum fault refuse(struct scope *s, struct str file)
{
	const char *const why = ERR_reason_error_string(ERR_peek_last_error());

	return fail(s, FAULT_INVALID, "%.*s: %s", STR_ARG(file), why != NULL ? why : "unreadable");
}

static void forget_context(void *arg)
{
	SSL_CTX_free(arg);
}
