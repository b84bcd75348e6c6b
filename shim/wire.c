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

ssize_t wire_recv(int sock, struct message *m, void *payload, size_t cap, int *fds, int *nfds)
{
	struct iovec iov[2] = { { m, sizeof(*m) }, { payload, cap } };
	union {
		char buf[CMSG_SPACE(sizeof(int) * MAX_FDS)];
		struct cmsghdr align;
	} control;
	struct msghdr h = {
		.msg_iov = iov,
		.msg_iovlen = cap ? 2 : 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	int room = *nfds;
	ssize_t n;

	*nfds = 0;
	do
		n = recvmsg(sock, &h, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -1;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		int count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (int i = 0; i < count; i++) {
			int fd;
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*nfds < room)
				fds[(*nfds)++] = fd;
			else
				close(fd);
		}
	}
	if (n == 0) {
		errno = 0;
		return -1;
	}
	if ((size_t)n < sizeof(*m) || (h.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		for (int i = 0; i < *nfds; i++)
			close(fds[i]);
		*nfds = 0;
		errno = EBADMSG;
		return -1;
	}
	return n - (ssize_t)sizeof(*m);
}
