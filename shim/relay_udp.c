/* UDP: each client has a connected socket of its own until it has been silent for IDLE_S. Answers leave from
 * the address that the client has spoken to. */
#include "relay.h"

#include <stdlib.h>

enum { IDLE_S = 90, CLIENTS = 4096, DATAGRAM = 65536, BURST = 32, BUCKETS = 1024 };

union control {
	char buf[CMSG_SPACE(sizeof(struct in6_pktinfo))];
	struct cmsghdr align;
};

/* Who has spoken to which address of ours. */
struct pair {
	struct listener *from;
	struct sockaddr_storage client;
	socklen_t client_size;
	struct in6_pktinfo own; /* or an in_pktinfo at its beginning */
	size_t own_size;
};

struct udp {
	struct end end;
	struct pair pair;
	u64 last_s;
	bool forgotten;
	struct udp *chain;	  /* of its bucket; or of the forgotten ones */
	struct udp *older, *newer; /* by the time of the last datagram */
};

static struct udp *bucket[BUCKETS], *oldest, *newest, *graveyard;
static unsigned count;
static char datagram[DATAGRAM];

static u64 seconds(void)
{
	return monotonic_ns() / 1000000000u;
}

void udp_init(struct listener *l)
{
	struct sockaddr_storage own;
	socklen_t size = sizeof(own);
	int on = 1;

	/* A socket of IPv6 shows the addresses of IPv4 as well, mapped. */
	if (getsockname(l->end.fd, (void *)&own, &size) == 0 && own.ss_family == AF_INET6)
		setsockopt(l->end.fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
	else
		setsockopt(l->end.fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

/* ---- who is known ---- */

static unsigned hash(const struct pair *p)
{
	const unsigned char *at = (const void *)&p->client;
	unsigned h = 2166136261u;

	for (socklen_t i = 0; i < p->client_size; i++)
		h = (h ^ at[i]) * 16777619u;
	return h % BUCKETS;
}

static void unlink_age(struct udp *u)
{
	*(u->older ? &u->older->newer : &oldest) = u->newer;
	*(u->newer ? &u->newer->older : &newest) = u->older;
}

static void touch(struct udp *u, bool first)
{
	if (!first)
		unlink_age(u);
	u->last_s = seconds();
	u->older = newest;
	u->newer = NULL;
	*(newest ? &newest->newer : &oldest) = u;
	newest = u;
}

static void forget(struct udp *u)
{
	struct udp **at = &bucket[hash(&u->pair)];

	while (*at != u)
		at = &(*at)->chain;
	*at = u->chain;
	unlink_age(u);
	close(u->end.fd);
	count--;
	/* Events of this round may still point at it. */
	u->forgotten = true;
	u->chain = graveyard;
	graveyard = u;
}

int udp_tidy(void)
{
	while (graveyard) {
		struct udp *next = graveyard->chain;
		free(graveyard);
		graveyard = next;
	}
	u64 now = seconds();
	while (oldest && now - oldest->last_s > IDLE_S)
		forget(oldest);
	return oldest ? (int)(oldest->last_s + IDLE_S + 1 - now) * 1000 : -1;
}

static bool same(const struct pair *a, const struct pair *b)
{
	return a->from == b->from && a->client_size == b->client_size && a->own_size == b->own_size &&
	       !memcmp(&a->client, &b->client, a->client_size) && !memcmp(&a->own, &b->own, a->own_size);
}

static int open_back(const struct listener *l)
{
	int fd = socket(l->target.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (const void *)&l->target, l->target_size) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static struct udp *meet(const struct pair *pair)
{
	struct udp **at = &bucket[hash(pair)];

	for (struct udp *u = *at; u; u = u->chain)
		if (same(&u->pair, pair))
			return u;
	if (count >= CLIENTS)
		forget(oldest);
	int fd = open_back(pair->from);
	if (fd < 0 && (errno == EMFILE || errno == ENFILE) && oldest) {
		forget(oldest);
		fd = open_back(pair->from);
	}
	struct udp *u = fd < 0 ? NULL : calloc(1, sizeof(*u));
	if (u)
		*u = (struct udp){ .end = { UDP_BACK, fd }, .pair = *pair, .chain = *at };
	if (!u || end_watch(EPOLL_CTL_ADD, &u->end, EPOLLIN) < 0) {
		if (fd >= 0)
			close(fd);
		free(u);
		return NULL;
	}
	*at = u;
	count++;
	touch(u, true);
	return u;
}

/* ---- there and back ---- */

static void note_own(struct msghdr *h, struct pair *pair)
{
	struct in_pktinfo *four = (void *)&pair->own;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			memcpy(four, CMSG_DATA(c), sizeof(*four));
			/* Answers go by whatever way the routes say. The kernel's own idea of the source is not
			 * there for what arrived before it was asked for. */
			four->ipi_ifindex = 0;
			four->ipi_spec_dst = four->ipi_addr;
			pair->own_size = sizeof(*four);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			memcpy(&pair->own, CMSG_DATA(c), sizeof(pair->own));
			/* But link-local addresses mean nothing without their interface. */
			if (!IN6_IS_ADDR_LINKLOCAL(&pair->own.ipi6_addr))
				pair->own.ipi6_ifindex = 0;
			pair->own_size = sizeof(pair->own);
		}
	}
}

void udp_arrived(struct listener *l)
{
	for (int burst = 0; burst < BURST; burst++) {
		struct pair pair = { .from = l };
		union control control;
		struct iovec iov = { datagram, sizeof(datagram) };
		struct msghdr h = { .msg_name = &pair.client, .msg_namelen = sizeof(pair.client),
				    .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.buf,
				    .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(l->end.fd, &h, MSG_DONTWAIT);
		if (n < 0)
			return;
		pair.client_size = h.msg_namelen;
		note_own(&h, &pair);
		struct udp *u = meet(&pair);
		if (!u)
			continue;
		touch(u, false);
		send(u->end.fd, datagram, n, MSG_DONTWAIT);
	}
}

static void send_back(const struct udp *u, size_t size)
{
	union control control = { 0 };
	struct iovec iov = { datagram, size };
	struct msghdr h = { .msg_name = (void *)&u->pair.client, .msg_namelen = u->pair.client_size,
			    .msg_iov = &iov, .msg_iovlen = 1 };

	if (u->pair.own_size) {
		bool four = u->pair.own_size == sizeof(struct in_pktinfo);
		h.msg_control = control.buf;
		h.msg_controllen = CMSG_SPACE(u->pair.own_size);
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = four ? IPPROTO_IP : IPPROTO_IPV6;
		c->cmsg_type = four ? IP_PKTINFO : IPV6_PKTINFO;
		c->cmsg_len = CMSG_LEN(u->pair.own_size);
		memcpy(CMSG_DATA(c), &u->pair.own, u->pair.own_size);
	}
	if (sendmsg(u->pair.from->end.fd, &h, MSG_DONTWAIT) < 0 && errno == EINVAL) {
		/* It came to a broadcast address, which sends nothing. */
		h.msg_control = NULL;
		h.msg_controllen = 0;
		sendmsg(u->pair.from->end.fd, &h, MSG_DONTWAIT);
	}
}

void udp_answered(struct end *end)
{
	struct udp *u = (struct udp *)end;

	for (int burst = 0; !u->forgotten && burst < BURST; burst++) {
		ssize_t n = recv(u->end.fd, datagram, sizeof(datagram), MSG_DONTWAIT);
		if (n < 0)
			return; /* ECONNREFUSED as well: read off, and nothing to tell the client */
		touch(u, false);
		send_back(u, n);
	}
}
