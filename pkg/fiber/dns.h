/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For tests: a machine of the test's own as far as names go (mount and network namespaces with its
 * own resolv.conf, hosts and nsswitch.conf) and the name server in it, so that getaddrinfo itself
 * is tested, with addresses that change and servers that hang. Included after base/testing.h. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"

enum { DNS_NAMES_MAX = 8, DNS_ADDRESSES_MAX = 16, DNS_PACKET_MAX = 512, DNS_NAME_MAX = 256 };

struct dns_name {
	char name[DNS_NAME_MAX];
	char addresses[DNS_ADDRESSES_MAX][INET6_ADDRSTRLEN];
	size_t count;
};

static struct {
	int fd;
	pthread_t thread;
	pthread_mutex_t lock; /* of names */
	struct dns_name names[DNS_NAMES_MAX];
	atomic_bool is_silent; /* queries get no answer */
	atomic_bool is_broken; /* SERVFAIL */
	atomic_int queries; /* for IPv4 addresses; a look-up asks for the other kind too */
	bool runs;
} dns = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- what it knows ---- */

/* "127.0.0.2 127.0.0.3 ::1", "" for a name that is not there (any more). */
static inline void dns_set(const char *name, const char *addresses)
{
	char copy[1024], *rest = copy;
	struct dns_name *n = dns.names;
	const char *address;

	CHECK(strlen(addresses) < sizeof copy);
	memcpy(copy, addresses, strlen(addresses) + 1);
	pthread_mutex_lock(&dns.lock);
	while (n->name[0] != '\0' && strcmp(n->name, name) != 0)
		CHECK(++n < dns.names + DNS_NAMES_MAX);
	snprintf(n->name, sizeof n->name, "%s", name);
	n->count = 0;
	while ((address = strsep(&rest, " ")) != NULL) {
		if (*address == '\0')
			continue;
		CHECK(n->count < DNS_ADDRESSES_MAX);
		snprintf(n->addresses[n->count++], INET6_ADDRSTRLEN, "%s", address);
	}
	pthread_mutex_unlock(&dns.lock);
}

/* ---- the server ---- */

/* A question's name in dots, and where it ends. */
static inline size_t dns_question(const unsigned char *packet, size_t len, char name[DNS_NAME_MAX])
{
	size_t at = 12, n = 0;

	while (at < len && packet[at] != 0) {
		const size_t label = packet[at++];

		CHECK(at + label < len && n + label + 1 < DNS_NAME_MAX);
		if (n > 0)
			name[n++] = '.';
		memcpy(name + n, packet + at, label);
		n += label;
		at += label;
	}
	name[n] = '\0';
	return at + 5;
}

static inline size_t dns_add(unsigned char *packet, size_t len, int type, const char *text)
{
	static const unsigned char head[] = {0xc0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0};
	const size_t size = type == 1 ? 4 : 16;
	unsigned char bytes[16];

	if (inet_pton(type == 1 ? AF_INET : AF_INET6, text, bytes) != 1)
		return len;
	CHECK(len + sizeof head + size <= DNS_PACKET_MAX);
	memcpy(packet + len, head, sizeof head);
	packet[len + 3] = (unsigned char)type;
	packet[len + 11] = (unsigned char)size;
	memcpy(packet + len + sizeof head, bytes, size);
	packet[7]++;
	return len + sizeof head + size;
}

/* Makes the answer of the query in the packet. */
static inline size_t dns_answer(unsigned char packet[DNS_PACKET_MAX], size_t len)
{
	enum { ANSWER = 0x81, SERVER_FAILED = 2, NO_SUCH_NAME = 3 };
	char name[DNS_NAME_MAX];
	const size_t end = dns_question(packet, len, name);
	const int type = packet[end - 3];
	bool known = false;

	if (type == 1)
		atomic_fetch_add(&dns.queries, 1);
	memset(packet + 6, 0, 6);
	packet[2] = ANSWER;
	len = end;
	pthread_mutex_lock(&dns.lock);
	for (size_t i = 0; i < DNS_NAMES_MAX && !atomic_load(&dns.is_broken); i++) {
		const struct dns_name *n = &dns.names[i];

		if (strcmp(n->name, name) != 0)
			continue;
		for (size_t k = 0; k < n->count; k++)
			len = dns_add(packet, len, type, n->addresses[k]);
		known = n->count > 0;
	}
	pthread_mutex_unlock(&dns.lock);
	packet[3] = (unsigned char)(0x80 | (atomic_load(&dns.is_broken) ? SERVER_FAILED
						   : known              ? 0
									: NO_SUCH_NAME));
	return len;
}

static inline void *dns_run(void *arg)
{
	unsigned char packet[DNS_PACKET_MAX];
	struct sockaddr_in from;

	(void)arg;
	for (;;) {
		socklen_t size = sizeof from;
		const ssize_t n =
			recvfrom(dns.fd, packet, sizeof packet, 0, (struct sockaddr *)&from, &size);

		if (n <= 12) /* dns_stop's */
			return NULL;
		const size_t len = dns_answer(packet, (size_t)n);
		if (!atomic_load(&dns.is_silent))
			CHECK(sendto(dns.fd, packet, len, 0, (struct sockaddr *)&from, size) > 0);
	}
}

/* ---- the machine ---- */

static inline bool dns_write(const char *path, const char *text)
{
	const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	const bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return written;
}

/* As root, or as root of a user namespace of its own. */
static inline bool dns_unshare(void)
{
	char map[32];

	snprintf(map, sizeof map, "0 %u 1", getuid());
	return unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 ||
	       (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) == 0 &&
		       dns_write("/proc/self/uid_map", map));
}

static inline bool dns_replace(const char *folder, const char *path, const char *text)
{
	char own[64];

	snprintf(own, sizeof own, "%s/%s", folder, strrchr(path, '/') + 1);
	const bool done = dns_write(own, text) && mount(own, path, NULL, MS_BIND, NULL) == 0;
	unlink(own); /* what is mounted stays */
	return done;
}

static inline bool dns_loopback_up(void)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	const bool up = ioctl(fd, SIOCSIFFLAGS, &lo) == 0;

	close(fd);
	return up;
}

static inline bool dns_listen(void)
{
	const struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons(53),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	dns.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return bind(dns.fd, (const struct sockaddr *)&at, sizeof at) == 0;
}

/* Before any other thread is there; what the test then starts lives on that machine too. False when
 * this one does not allow it: tests of names then call skip(). */
static inline bool dns_start(void)
{
	char folder[] = "/tmp/bodega-dns-XXXXXX";

	CHECK(mkdtemp(folder) != NULL);
	dns.runs = dns_unshare() && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	           dns_replace(folder, "/etc/resolv.conf",
			   "nameserver 127.0.0.1\noptions timeout:1 attempts:5\n") &&
	           dns_replace(folder, "/etc/hosts",
			   "127.0.0.1 localhost\n127.0.0.9 from-the-file\n") &&
	           dns_replace(folder, "/etc/nsswitch.conf", "hosts: files dns\n") &&
	           dns_loopback_up() && dns_listen();
	rmdir(folder);
	if (dns.runs)
		CHECK(pthread_create(&dns.thread, NULL, dns_run, NULL) == 0);
	else
		print_message("SKIPPED: no namespaces here, so names are not tested\n");
	return dns.runs;
}

static inline void dns_stop(void)
{
	const struct sockaddr_in at = {.sin_family = AF_INET,
		.sin_port = htons(53),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	if (!dns.runs)
		return;
	CHECK(sendto(dns.fd, "", 1, 0, (const struct sockaddr *)&at, sizeof at) == 1);
	pthread_join(dns.thread, NULL);
	close(dns.fd);
}
