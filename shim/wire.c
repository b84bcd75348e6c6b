/* Messages with descriptors over a SOCK_SEQPACKET socket. */
#include "shim.h"

#include <sys/socket.h>
#include <sys/uio.h>

int wire_send(int sock, const struct message *m, const void *payload, size_t size, const int *fds,
	      int nfds)
{
	struct iovec iov[2] = {
		{ (void *)m, sizeof(*m) },
		{ (void *)payload, size },
	};
	union {
		char buf[CMSG_SPACE(sizeof(int) * MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct msghdr h = { .msg_iov = iov, .msg_iovlen = size ? 2 : 1 };

	if (nfds > MAX_FDS) {
		errno = E2BIG;
		return -1;
	}
	if (nfds > 0) {
		h.msg_control = control.buf;
		h.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
		struct cmsghdr *c = CMSG_FIRSTHDR(&h);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * nfds);
	}
	for (;;) {
		ssize_t n = sendmsg(sock, &h, MSG_NOSIGNAL);
		if (n >= 0)
			return 0;
		if (errno != EINTR)
			return -1;
	}
}

void wire_leave(struct baggage *b)
{
	while (b->count > 0)
		close(b->fds[--b->count]);
}

static void unpack(struct msghdr *h, struct baggage *b)
{
	struct ucred sender;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		size_t size = c->cmsg_len - CMSG_LEN(0);
		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS && size == sizeof(sender)) {
			memcpy(&sender, CMSG_DATA(c), sizeof(sender));
			b->sender = sender.pid;
		} else if (c->cmsg_type == SCM_RIGHTS && size <= sizeof(b->fds)) {
			memcpy(b->fds, CMSG_DATA(c), size);
			b->count = size / sizeof(int);
		}
	}
}

ssize_t wire_recv(int sock, struct message *m, void *payload, size_t cap, struct baggage *b)
{
	struct iovec iov[2] = { { m, sizeof(*m) }, { payload, cap } };
	union {
		char buf[CMSG_SPACE(sizeof(b->fds)) + CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct msghdr h = {
		.msg_iov = iov,
		.msg_iovlen = cap ? 2 : 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;

	*m = (struct message){ 0 };
	b->count = 0;
	b->sender = -1;
	/* ECONNRESET: the peer has left without reading something. This is said once, before the last messages
	 * of the peer can be read. */
	do
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -1;
	unpack(&h, b);
	if (n == 0) {
		wire_leave(b);
		errno = 0;
		return -1;
	}
	/* MSG_CTRUNC: also when there is no room for the descriptors in the table of this process. */
	if ((size_t)n < sizeof(*m) || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		wire_leave(b);
		errno = EBADMSG;
		return -1;
	}
	return n - (ssize_t)sizeof(*m);
}

int wire_pair(int pair[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ? -errno : 0;
}

void wire_name_senders(int sock)
{
	setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &(int){ 1 }, sizeof(int));
}
