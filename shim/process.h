/* One supervised process and its streams. */
#ifndef CASEMATE_PROCESS_H
#define CASEMATE_PROCESS_H

#include "shim.h"

#include <poll.h>

struct client {
	int fd;
	unsigned flags; /* enum attach */
	bool in_eof;	/* it will send no more */
	bool gone;	/* it takes no more */
	bool parting;	/* it was told that no more comes; what it sends is thrown away */
	bool talkative; /* and it does send */
	char *out, *in; /* what waits to be written to the client, and to the process */
	size_t out_used, in_used;
	char keys[KEYS_MAX]; /* typed at a terminal, they end the attachment */
	size_t keys_used, typed; /* how many there are, and how many of them were typed, in order */
	struct client *next;
};

struct process {
	u32 id; /* 0: the container's first process */
	pid_t pid; /* -1: not born yet, or never to be */
	int setup; /* until exec, the socket to the room; then -1 */
	int in, out, err; /* our ends, -1 when closed; a terminal is in and out at once */
	int peer; /* the terminal's other side, held so that it does not hang up while nobody has it open */
	int asked_by; /* the engine whose client came before the process */
	bool tty, stdin_open, stdin_once, begun, failed, exited;
	int status; /* as waitpid gives it */
	u64 started_ns, exited_ns;
	u64 progress_ns; /* monotonic: when the process ended, or a client took something after that */
	struct log log;
	struct line line[2];
	struct client *clients;
	struct process *next;
};

enum watched {
	WATCH_ENGINE,
	WATCH_LISTEN,
	WATCH_CHILDREN,
	WATCH_SETUP,
	WATCH_OUT,
	WATCH_ERR,
	WATCH_IN,
	WATCH_CLIENT,
};

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

/* streams.c: what is written by the process */
void streams_watch(struct process *p, struct watch *w);
void streams_event(struct process *p, struct client *c, int kind, short events);
void streams_drain(struct process *p);
int streams_terminal(struct process *p, int master);
int streams_resize(struct process *p, unsigned rows, unsigned columns);

/* clients.c: who is attached */
bool client_attach(struct process *p, int fd, unsigned flags, const char *keys, size_t count);
void client_drop(struct process *p, struct client *c);
void client_event(struct process *p, struct client *c, short events);
void clients_watch(struct process *p, struct watch *w, bool *blocked, bool *hungry);
void clients_deliver(struct process *p, int stream, char *data, size_t size);
void clients_feed(struct process *p);
void clients_drop_all(struct process *p);
bool clients_part(struct process *p);
bool clients_parting(struct process *p);
void clients_drop_parting(struct process *p);
void input_close(struct process *p);

enum { FRAME_BYTES = 8 };

#endif
