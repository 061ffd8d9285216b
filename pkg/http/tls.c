/* SPDX-License-Identifier: Apache-2.0
 * The certificate. A newer one is a newer SSL_CTX that takes the place of the one before:
 * handshakes that have begun keep theirs, by OpenSSL's own count. */
#include "http/internal.h"

#include "base/check.h"
#include "metrics/metrics.h"

#include <openssl/err.h>
#include <stdio.h>
#include <time.h>

static SSL_CTX *context_new(void);
static bool load(SSL_CTX *tls, const struct server_config *config, struct str *error);
static void show_expiry(const SSL_CTX *tls);

void tls_begin(struct server *s)
{
	CHECK(pthread_mutex_init(&s->tls_lock, NULL) == 0);
}

void tls_end(struct server *s)
{
	SSL_CTX_free(s->tls);
	pthread_mutex_destroy(&s->tls_lock);
}

bool server_load_certificate(struct server *s, struct str *error)
{
	SSL_CTX *const next = context_new();
	SSL_CTX *before;

	if (!load(next, &s->config, error)) {
		SSL_CTX_free(next);
		return false;
	}
	show_expiry(next);
	pthread_mutex_lock(&s->tls_lock);
	before = s->tls;
	s->tls = next;
	pthread_mutex_unlock(&s->tls_lock);
	SSL_CTX_free(before);
	return true;
}

void tls_handshake(struct server *s, h2o_socket_t *socket, h2o_socket_cb done)
{
	SSL_CTX *now;

	pthread_mutex_lock(&s->tls_lock);
	now = s->tls;
	SSL_CTX_up_ref(now);
	pthread_mutex_unlock(&s->tls_lock);
	h2o_socket_ssl_handshake(socket, now, NULL, done);
	SSL_CTX_free(now);
}

static SSL_CTX *context_new(void)
{
	static const h2o_iovec_t protocols[] = {
		{H2O_STRLIT("h2")}, {H2O_STRLIT("http/1.1")}, {NULL, 0}};
	SSL_CTX *tls = SSL_CTX_new(TLS_server_method());

	CHECK(tls != NULL);
	SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
	SSL_CTX_set_options(tls,
		SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	/* of TLS 1.2 only what HTTP/2 allows (RFC 9113 9.2.2) */
	CHECK(SSL_CTX_set_cipher_list(tls, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1);
	h2o_ssl_register_alpn_protocols(tls, protocols);
	return tls;
}

static bool load(SSL_CTX *tls, const struct server_config *config, struct str *error)
{
	static _Thread_local char sentence[320];
	const char *cert = config->tls_cert_file != NULL ? config->tls_cert_file : "(none)";
	const char *key = config->tls_key_file != NULL ? config->tls_key_file : "(none)";
	const char *what;

	ERR_clear_error();
	if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1)
		what = "no certificate chain in PEM";
	else if (SSL_CTX_use_PrivateKey_file(tls, key, SSL_FILETYPE_PEM) != 1)
		what = "no private key in PEM that fits the certificate";
	else
		return true;
	snprintf(sentence, sizeof sentence, "TLS certificate %s, key %s: %s (%s)", cert, key, what,
		ERR_reason_error_string(ERR_peek_last_error()));
	*error = str_from(sentence);
	return false;
}

static void show_expiry(const SSL_CTX *tls)
{
	struct tm end;

	if (ASN1_TIME_to_tm(X509_get0_notAfter(SSL_CTX_get0_certificate(tls)), &end) == 1)
		gauge_set(gauge_get("bodega_tls_certificate_expiry_timestamp_seconds",
				  "When the certificate in use ends, since 1970.", NULL),
			timegm(&end));
}
