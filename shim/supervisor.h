/* What the parts of the supervisor share. */
#ifndef CASEMATE_SUPERVISOR_H
#define CASEMATE_SUPERVISOR_H

#include "process.h"

enum { ENGINES = 4, RELAYS = 32, KEPT_EXITS = 64 };

/* A message that an engine had no room for yet. */
struct unsent {
	struct message m;
	struct unsent *next;
	size_t size;
	char payload[];
};

struct engine {
	int fd;			/* -1: none */
	struct unsent *first, **last;
};

struct supervisor {
	struct process *list; /* the container's first process is always among them */
	struct process *main;
	int main_pidfd; /* -1 after its end */
	struct engine engine[ENGINES];
	int listener;
	int children; /* a signalfd: some child has ended */
	int state;    /* the container's state directory; -1 until the start */
	int record;   /* the file that will hold the exit status */
	int mounts;   /* the room's mount namespace */
	struct {
		u32 id;
		pid_t pid;
	} relay[RELAYS];
	struct nursery nursery;
	bool over;    /* the exit is reported, engines are let go */
	bool resting; /* only clients are left, which still have something to read */
};

extern struct supervisor self;

/* engines.c */
void engines_init(void);
void tell(const struct message *m, const void *payload, size_t size, const int *fds, int nfds);
void tell_one(struct engine *e, const struct message *m, const void *payload, size_t size, const int *fds,
	      int nfds);
void answer(struct engine *e, u32 id, int error);
void report_failure(struct engine *e, u32 id, int error, const struct scene *s);
struct engine *engine_at(int fd);
void engines_watch(struct watch *w);
void engine_event(struct engine *e, short events);
void engines_leave(void);
void hear(int fd);
void accept_engine(void);
int listen_in(int state);

/* process.c */
struct process *process_find(u32 id);
struct process *process_new(u32 id);
void process_forget(struct process *p);
void process_failed(struct process *p, int error, const struct scene *s);
bool process_heard(struct process *p);
void processes_reap(void);
void processes_tidy(void);
int record_open(void);

/* requests.c */
int perform(struct engine *e, struct message *m, const char *payload, size_t size, const int *fds, int nfds);
void cut_short(struct engine *e, const struct message *m);

/* network.c */
int open_network(struct engine *e, u32 id);
int relay_start(u32 id, const void *targets, size_t size, const int *fds, int nfds);
int relay_stop(u32 id, bool all);
bool relay_ended(pid_t pid);

#endif
