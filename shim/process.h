/* One supervised process and its streams. */
#ifndef CASEMATE_PROCESS_H
#define CASEMATE_PROCESS_H

#include "shim.h"

#include <poll.h>

struct client {
	int fd;
	unsigned flags; /* enum attach */
	bool in_eof;
	char *out, *in; /* what waits to be written to the client, and to the process */
	size_t out_used, in_used;
	struct client *next;
};

struct process {
	u32 id; /* 0: the container's first process */
	pid_t pid;
	int pidfd, setup; /* setup: until exec, the socket to the room; then -1 */
	int in, out, err; /* our ends, -1 when closed; a terminal is in and out at once */
	bool tty, stdin_once, hung, failed, exited;
	int status; /* as waitpid gives it */
	u64 started_ns, exited_ns;
	struct log log;
	struct line line[2];
	struct client *clients;
	struct process *next;
};

enum watched { WATCH_ENGINE, WATCH_LISTEN, WATCH_PID, WATCH_SETUP, WATCH_OUT, WATCH_ERR, WATCH_IN, WATCH_CLIENT };

/* The descriptors of one round of poll(2), and what each one belongs to. */
struct watch {
	struct pollfd *fds;
	struct owner {
		struct process *process;
		struct client *client;
		int kind;
	} *owners;
	size_t used, cap;
};

void watch_add(struct watch *w, int fd, short events, struct process *p, struct client *c, int kind);

bool streams_attach(struct process *p, int fd, unsigned flags);
void streams_watch(struct process *p, struct watch *w);
void streams_event(struct process *p, struct client *c, int kind, short events);
void streams_close_input(struct process *p);
void streams_drain(struct process *p);
void streams_close(struct process *p);
bool streams_finished(struct process *p);
int streams_resize(struct process *p, unsigned rows, unsigned columns);

#endif
