/* What the parts of the relay share. */
#ifndef CASEMATE_RELAY_H
#define CASEMATE_RELAY_H

#include "shim.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum kind { LISTENER, TCP_END, UDP_SOCKET, UDP_BACK };

/* Everything that epoll reports begins with this. */
struct end {
	enum kind kind;
	int fd;
};

struct listener {
	struct end end;
	struct sockaddr_storage target;
	socklen_t target_size;
};

/* relay.c */
int end_watch(int op, struct end *end, u32 events); /* 0, or -1 and errno */

/* relay_tcp.c */
void tcp_init(void);
void tcp_accept(struct listener *l);
void tcp_event(struct end *end, u32 events);
void tcp_bury(void);

/* relay_udp.c */
void udp_init(struct listener *l);
void udp_arrived(struct listener *l);
void udp_answered(struct end *end);
int udp_tidy(void); /* returns how many ms from now it wants to be called again, -1 for never */

#endif
