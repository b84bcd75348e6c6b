/* What the parts of the supervisor share. */
#ifndef CASEMATE_SUPERVISOR_H
#define CASEMATE_SUPERVISOR_H

#include "process.h"

enum { ENGINES = 4, RELAYS = 32, KEPT_EXITS = 64 };

struct supervisor {
	struct process *list; /* the container's first process is always among them */
	struct process *main;
	int engine[ENGINES], listener;
	int state;  /* the container's state directory; -1 until the start */
	int mounts; /* the room's mount namespace */
	struct {
		u32 id;
		pid_t pid;
	} relay[RELAYS];
	struct nursery nursery;
	bool over; /* the exit is reported, engines are let go */
};

extern struct supervisor self;

/* engines.c */
void tell(const struct message *m, const void *payload, size_t size, const int *fds, int nfds);
void answer(int engine, u32 id, int error);
void report_failure(int engine, u32 id, int error, const struct scene *s);
void hear(int fd);
void accept_engine(void);
int listen_in(int state);

/* supervise.c */
struct process *process_find(u32 id);
struct process *process_new(u32 id);
void process_forget(struct process *p);

/* requests.c */
int perform(int engine, struct message *m, const char *payload, size_t size, int *fds, int nfds);
int relay_stop(u32 id, bool all);

#endif
