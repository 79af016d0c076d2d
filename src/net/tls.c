/* SPDX-License-Identifier: MIT */
/* OpenSSL behind four calls. */
#include "net/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct tls {
	SSL_CTX *context;
	BIO_METHOD *method;
	SSL *ssl;
	short needs; /* poll events the last call asked for */
};

/* OpenSSL's own socket writer would raise SIGPIPE on a broken connection. */
static int write_quietly(BIO *bio, const char *data, int size)
{
	int fd = -1;
	ssize_t sent;

	BIO_get_fd(bio, &fd);
	sent = send(fd, data, (size_t)size, MSG_NOSIGNAL);
	BIO_clear_retry_flags(bio);
	if (sent < 0 && BIO_sock_should_retry((int)sent))
		BIO_set_retry_write(bio);
	return (int)sent;
}

static BIO *create_bio(struct tls *tls, int fd)
{
	const BIO_METHOD *plain = BIO_s_socket();
	BIO_METHOD *quiet =
		BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK |
				     BIO_TYPE_DESCRIPTOR,
			     "socket without SIGPIPE");
	BIO *bio;

	if (quiet == NULL)
		return NULL;
	tls->method = quiet;
	BIO_meth_set_write(quiet, write_quietly);
	BIO_meth_set_read(quiet, BIO_meth_get_read(plain));
	BIO_meth_set_ctrl(quiet, BIO_meth_get_ctrl(plain));
	BIO_meth_set_create(quiet, BIO_meth_get_create(plain));
	BIO_meth_set_destroy(quiet, BIO_meth_get_destroy(plain));
	bio = BIO_new(quiet);
	if (bio != NULL)
		BIO_set_fd(bio, fd, BIO_NOCLOSE);
	return bio;
}

/* The newest of OpenSSL's reasons, which it keeps in a queue. */
static const char *reason(void)
{
	unsigned long code = ERR_peek_last_error();
	const char *text = NULL;

	if (ERR_SYSTEM_ERROR(code))
		text = strerror(ERR_GET_REASON(code));
	else if (code != 0)
		text = ERR_reason_error_string(code);
	return text == NULL ? "no reason given" : text;
}

static int refuse_file(const char *what, const char *path, struct error *err)
{
	return error_set(err, STATUS_INVALID, "%s %s cannot be used: %s", what,
			 path, reason());
}

static int load_authorities(SSL_CTX *context, const char *file,
			    struct error *err)
{
	if (file == NULL) {
		if (SSL_CTX_set_default_verify_paths(context) != 1)
			return error_set(err, STATUS_FAILED,
					 "the system's certificate authorities "
					 "cannot be loaded: %s",
					 reason());
	} else if (SSL_CTX_load_verify_file(context, file) != 1) {
		return refuse_file("tls_ca_file", file, err);
	}
	return 0;
}

static int load_certificate(SSL_CTX *context,
			    const struct stream_target *target,
			    struct error *err)
{
	const char *cert = target->cert_file;
	const char *key = target->key_file ? target->key_file : cert;

	if (cert == NULL)
		return 0;
	if (SSL_CTX_use_certificate_chain_file(context, cert) != 1)
		return refuse_file("tls_cert_file", cert, err);
	if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		return refuse_file("tls_key_file", key, err);
	return 0;
}

/* An address is compared with the certificate's addresses, a name with its
 * names; SNI carries names only (RFC 6066, section 3). */
static int expect_name(SSL *ssl, const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, host, address) == 1 ||
	    inet_pton(AF_INET6, host, address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set_tlsext_host_name(ssl, host) == 1 &&
	       SSL_set1_host(ssl, host) == 1;
}

static int set_up(struct tls *tls, int fd, const struct stream_target *target,
		  struct error *err)
{
	BIO *bio;
	int status;

	tls->context = SSL_CTX_new(TLS_client_method());
	if (tls->context == NULL)
		return error_set(err, STATUS_NO_MEMORY,
				 "TLS cannot be set up: %s", reason());
	SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(tls->context,
			 SSL_MODE_ENABLE_PARTIAL_WRITE |
				 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				 SSL_MODE_RELEASE_BUFFERS);
	status = load_authorities(tls->context, target->ca_file, err);
	if (status == 0)
		status = load_certificate(tls->context, target, err);
	if (status < 0)
		return status;
	tls->ssl = SSL_new(tls->context);
	bio = create_bio(tls, fd);
	if (tls->ssl == NULL || bio == NULL ||
	    !expect_name(tls->ssl, target->host)) {
		BIO_free(bio);
		return error_set(err, STATUS_NO_MEMORY,
				 "TLS cannot be set up: %s", reason());
	}
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_connect_state(tls->ssl);
	return 0;
}

int tls_create(struct tls **out, int fd, const struct stream_target *target,
	       struct error *err)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	int status;

	if (tls == NULL)
		return error_set(err, STATUS_NO_MEMORY, "out of memory");
	ERR_clear_error();
	status = set_up(tls, fd, target, err);
	if (status < 0)
		tls_destroy(tls);
	else
		*out = tls;
	return status;
}

void tls_destroy(struct tls *tls)
{
	if (tls == NULL)
		return;
	if (tls->ssl != NULL && SSL_is_init_finished(tls->ssl)) {
		ERR_clear_error();
		(void)SSL_shutdown(tls->ssl);
	}
	SSL_free(tls->ssl);
	BIO_meth_free(tls->method);
	SSL_CTX_free(tls->context);
	free(tls);
}

static int refuse_certificate(long verdict, struct error *err)
{
	const char *hint = "";

	if (verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
	    verdict == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
	    verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY)
		hint = "; name its authority in tls_ca_file";
	return error_set(err, STATUS_DENIED,
			 "the server's certificate is refused: %s%s",
			 X509_verify_cert_error_string(verdict), hint);
}

static int broken(const struct tls *tls, int cause, struct error *err)
{
	unsigned long code = ERR_peek_last_error();
	long verdict = SSL_get_verify_result(tls->ssl);
	int number = ERR_GET_REASON(code);

	if (cause == SSL_ERROR_ZERO_RETURN || (code == 0 && errno == 0) ||
	    number == SSL_R_UNEXPECTED_EOF_WHILE_READING)
		return error_set(err, STATUS_AWAY,
				 "the peer closed the connection");
	if (cause == SSL_ERROR_SYSCALL)
		return error_set(err, STATUS_AWAY,
				 "the connection is broken: %s",
				 strerror(errno));
	if (verdict != X509_V_OK)
		return refuse_certificate(verdict, err);
	if (number > SSL_AD_REASON_OFFSET)
		return error_set(err, STATUS_DENIED,
				 "the server refuses TLS with us: %s; is a "
				 "client certificate needed?",
				 reason());
	if (number == SSL_R_WRONG_VERSION_NUMBER)
		return error_set(err, STATUS_PROTOCOL,
				 "the server does not speak TLS on this port");
	return error_set(err, STATUS_PROTOCOL, "TLS failed: %s", reason());
}

/* Judges a call of OpenSSL: its positive result, 0 when it must wait. */
static int judge(struct tls *tls, int result, struct error *err)
{
	int cause;

	tls->needs = 0;
	if (result > 0)
		return result;
	cause = SSL_get_error(tls->ssl, result);
	if (cause == SSL_ERROR_WANT_READ)
		tls->needs = POLLIN;
	else if (cause == SSL_ERROR_WANT_WRITE)
		tls->needs = POLLOUT;
	else
		return broken(tls, cause, err);
	return 0;
}

static void forget_errors(void)
{
	ERR_clear_error();
	errno = 0;
}

int tls_handshake(struct tls *tls, struct error *err)
{
	forget_errors();
	return judge(tls, SSL_do_handshake(tls->ssl), err);
}

/* Waiting to read is what a reader does anyway: then it needs nothing. */
int tls_read(struct tls *tls, char *data, size_t size, struct error *err)
{
	int got;

	forget_errors();
	got = judge(tls, SSL_read(tls->ssl, data, (int)size), err);
	tls->needs &= POLLOUT;
	return got;
}

int tls_write(struct tls *tls, const char *data, size_t size, struct error *err)
{
	int sent;

	forget_errors();
	sent = judge(tls, SSL_write(tls->ssl, data, (int)size), err);
	tls->needs &= POLLIN;
	return sent;
}

bool tls_pending(const struct tls *tls)
{
	return SSL_pending(tls->ssl) > 0;
}

short tls_needs(const struct tls *tls)
{
	return tls->needs;
}
