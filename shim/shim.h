/* casemate-shim: what Python must not do.
 *
 * Three roles in one small static program:
 *   supervisor  outside of the container: owns stdio and the terminal, writes the log, serves
 *               attached clients, waits, records the exit status; outlives the engine
 *   room        inside: a child in new namespaces that waits for a plan, executes it step by step
 *               and then becomes the workload
 *   init        optional PID 1: reaps, forwards signals
 *
 * The shim knows no policy and parses no text. Python decides (src/casemate/runtime), the shim executes.
 */
#ifndef CASEMATE_SHIM_H
#define CASEMATE_SHIM_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <unistd.h>

typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t s64;

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- wire.c: messages over SOCK_SEQPACKET, with descriptors ---- */

enum { MAX_FDS = 240, MAX_PAYLOAD = 8192 };

/* Every message between engine, supervisor and room starts with this; a payload may follow. */
struct message {
	u32 kind;
	u32 id; /* of the process: 0 is the container's own, others are execs; or of a relay */
	s64 a, b;
};

/* Requests of the engine; the numbers are mirrored in supervise/protocol.py. REQ_START and REQ_EXEC are
 * answered by EV_STARTED or EV_FAILED with their id, the others in order by EV_DONE. */
enum request {
	REQ_PREPARE = 1, /* fds: plan. Its outside steps here, its inside steps in the room, which goes on
			  * waiting */
	REQ_START,	 /* fds: plan, state directory, then what the plan's registers hold */
	REQ_EXEC,	 /* fds: plan, then registers; id is chosen by the engine */
	REQ_KILL,	 /* a: signal */
	REQ_ATTACH,	 /* fds: a connected stream socket; a: enum attach flags; payload: detach keys */
	REQ_RESIZE,	 /* a: rows, b: columns */
	REQ_STATUS,	 /* answered by EV_STATUS or EV_EXITED for each process, then EV_DONE */
	REQ_RELAY,	 /* fds: bound sockets; payload: struct relay_target each */
	REQ_UNRELAY,	 /* id of the relay */
	REQ_NETLINK,	 /* the answer carries a netlink socket of the container's network namespace */
	REQ_NURSERY,	 /* fds: plan. A process that waits in the container's cgroups to fork execs */
	REQ_FREE,	 /* id of an exec: forget its exit status */
};

/* Answers and events of the supervisor. */
enum event {
	EV_READY = 64, /* a: pid of the room; fds: netlink socket (when the room has its own network) */
	EV_STARTED,    /* id, a: pid */
	EV_FAILED,     /* id, a: errno, b: index of the step | enum part << 32; payload: what it was about */
	EV_EXITED,     /* id, a: wait status, b: time in ns */
	EV_DONE,       /* id, a: 0 or errno: answer to the last request */
	EV_STATUS,     /* id, a: pid, b: start time in ns; one for each living process, then EV_DONE */
	EV_PTY,	       /* room to supervisor; fds: the master side */
	EV_BORN,       /* room of a nursery to supervisor, which learns its pid from the kernel */
};

/* Which list of a plan a failing step is in. */
enum part { PART_START, PART_OUTSIDE, PART_AHEAD, PART_BEFORE };

enum attach {
	ATTACH_STDIN = 1,
	ATTACH_STDOUT = 2,
	ATTACH_STDERR = 4,
	ATTACH_FRAMED = 8,
	ATTACH_OWNER = 16, /* when this client is gone, the process is killed */
};

enum { KEYS_MAX = 16 };

/* What arrives beside the bytes of a message. */
struct baggage {
	int fds[MAX_FDS], count;
	pid_t sender; /* as the kernel says; only where wire_name_senders was called */
};

int wire_send(int sock, const struct message *m, const void *payload, size_t size, const int *fds,
	      int nfds);
/* Returns the payload's size, or -1 (errno; 0 means that the peer is gone). EBADMSG: what arrived was cut
 * short; the head that is there is in m, its descriptors are closed. */
ssize_t wire_recv(int sock, struct message *m, void *payload, size_t cap, struct baggage *b);
void wire_leave(struct baggage *b); /* closes the descriptors */
int wire_pair(int pair[2]);
void wire_name_senders(int sock);

/* ---- steps.c: plans ----
 * The steps are in steps_mount.c, steps_process.c, steps_user.c and steps_landlock.c. */

/* A plan as a file: this header, the outside steps, the inside steps. The first PASSED registers come with
 * the plan or are written by its outside steps; the room gets them. */
struct plan_header {
	u32 magic, version;
	u32 outside_size, inside_size;
	u32 flags;     /* enum plan_flags */
	u32 log_files; /* how many rotated logs to keep beside the current one */
	u64 log_bytes; /* rotate when the log is larger; 0: never */
	u32 owner;     /* user id, on the host, that the standard streams belong to */
	u32 unused;
};

enum { PLAN_MAGIC = 0x4e504d43, PLAN_VERSION = 2, REGISTERS = 192, PASSED = 64 };
enum plan_flags {
	PLAN_TTY = 1,
	PLAN_STDIN = 2,	     /* stdin stays open for attached clients */
	PLAN_STDIN_ONCE = 4, /* stdin closes when the first attached client closes it */
	PLAN_LOG = 8,
};

struct cursor {
	const uint8_t *p, *end;
	bool bad;
};

/* What steps act on. */
struct scene {
	int reg[REGISTERS];
	int setup;	   /* room: the socket to the supervisor */
	pid_t child;	   /* outside: the room that waits; 0 in the room */
	enum part part;	   /* which list is run */
	u32 index;	   /* of the step in its list */
	const char *about; /* what the failing step was about */
};

struct plan {
	const struct plan_header *head;
	struct cursor outside, inside;
	size_t size;
};

int plan_map(int fd, struct plan *plan);
void plan_unmap(struct plan *plan);
/* Executes steps until the end or the first failure: 0 or -errno, scene tells where. */
int steps_run(struct cursor c, struct scene *scene);
void steps_print(void);

u64 take_number(struct cursor *c);
const char *take_string(struct cursor *c);
const uint8_t *take_bytes(struct cursor *c, u32 *size);
int take_register(struct cursor *c, struct scene *s); /* the descriptor, or -1 and errno EBADF */
int put_register(struct scene *s, u64 number, int fd); /* fd may be -1: returns -errno */

typedef int step_fn(struct cursor *c, struct scene *s);

/* The steps: name and operands. r: register read, w: register written, n: number, s: string, b: bytes,
 * v: count and strings. Numbered from 1 in this order; runtime/steps.py holds the same table. */
#define STEPS(X)               \
	X(attach, "s")         \
	X(close, "r")          \
	X(open, "wsn")         \
	X(open_in, "wrsnn")    \
	X(target, "wrsnn")     \
	X(fsopen, "ws")        \
	X(fsconfig, "rss")     \
	X(fsmount, "wrn")      \
	X(open_tree, "wrsn")   \
	X(setattr, "rnnnn")    \
	X(move_mount, "rr")    \
	X(mount_at, "rs")      \
	X(mount, "sssns")      \
	X(mknod, "rsnnnn")     \
	X(mkdir, "rsn")        \
	X(symlink, "srs")      \
	X(write, "rsb")        \
	X(expect_fs, "rn")     \
	X(mask, "rsrr")        \
	X(readonly, "rs")      \
	X(pivot, "r")          \
	X(hostname, "s")       \
	X(domainname, "s")     \
	X(unshare, "n")        \
	X(setns, "rn")         \
	X(rlimit, "nnn")       \
	X(chdir, "s")          \
	X(groups, "b")         \
	X(identity, "nn")      \
	X(bounding, "n")       \
	X(capabilities, "nnnn") \
	X(no_new_privs, "")    \
	X(seccomp, "nb")       \
	X(umask, "n")          \
	X(oom_score_adj, "s")  \
	X(stdio_owner, "n")    \
	X(pty, "wrnn")         \
	X(keyring, "")         \
	X(init, "")            \
	X(exec, "vv")          \
	X(fsconfig_fd, "rsr")  \
	X(idmapped, "rrn")     \
	X(id_maps, "ss")       \
	X(namespace, "ws")     \
	X(own_root, "")        \
	X(file_owner, "n")     \
	X(tree_from, "wrs")    \
	X(landlock, "wnnn")    \
	X(landlock_allow, "rsn") \
	X(landlock_enter, "r")

#define DECLARE(name, operands) step_fn step_##name;
STEPS(DECLARE)
#undef DECLARE

/* ---- kernel.c: what the C library does not wrap ---- */

int open_in_root(int dir, const char *path, u64 flags, u64 resolve);
int mount_attr(int fd, u64 set, u64 clear, u64 propagation, bool recursive);
int mount_idmap(int fd, int userns, bool recursive);
int pidfd_of(pid_t pid);
/* Make effective what is permitted, behind a change of user. 0 or -1. */
int use_capabilities(void);
/* What a change of identity clears: nobody may look into us, and we end with our parent. 0 or -1. */
int guard_again(void);
u64 now_ns(void);
u64 monotonic_ns(void);
void nonblocking(int fd);
void close_from(int first);

/* ---- room.c ---- */

/* Makes a child that waits for its plan, in the new namespaces of flags. Returns its pid or -errno. pidfd
 * may be NULL. */
pid_t room_open(u64 flags, int *pidfd, int *setup);
/* The same among the processes of another one's process namespace. */
pid_t room_open_among(int other, u64 flags, int *pidfd, int *setup);
pid_t room_clone(u64 flags, int *pidfd);
void room_main(int setup, bool announce) __attribute__((noreturn));

/* ---- nursery.c ---- */

/* A process that waits in the container's cgroups and forks rooms there: with cgroups v1 the kernel makes
 * a process wait 7 ms (an RCU grace period) that is moved into a cgroup, but not one that is born there. It
 * is frozen, starved and killed with the container, so nothing ever waits for it. */
struct nursery {
	int sock;
	pid_t pid;
};

int nursery_open(struct nursery *n, int main_pidfd);
/* Asks for a room; it says EV_BORN on *setup when it is there. 0 or -errno. */
int nursery_room(struct nursery *n, int *setup);
void nursery_close(struct nursery *n);

/* ---- supervise.c ---- */

/* peer: a process in whose process namespace the room is born, or -1 */
int supervise(u64 room_flags, int peer);
extern struct rlimit files_before; /* open files, as the engine had them: what rooms get */

/* ---- log.c: one JSON object a line, as Docker's json-file ---- */

enum { LINE_MAX_BYTES = 16384 };

struct log {
	bool wanted;
	int dir, fd; /* fd -1: could not be opened; tried again with the next output */
	u64 size, limit;
	u32 files;
	u64 lost; /* bytes that could not be written */
};

struct line {
	uint32_t used;
	char *text; /* LINE_MAX_BYTES, allocated at the first output */
};

void log_open(struct log *log, int dir, u64 limit, u32 files);
void log_output(struct log *log, struct line *line, int stream, const char *data, size_t size);
void log_flush(struct log *log, struct line *line, int stream);

/* ---- relay.c: published ports ---- */

struct relay_target {
	u16 family, protocol; /* AF_INET or AF_INET6; IPPROTO_TCP or IPPROTO_UDP */
	u16 port, pad;	      /* host byte order */
	uint8_t address[16];  /* network byte order; IPv4 uses the first 4 bytes */
};

/* In a child of supervisor. */
void relay_main(pid_t supervisor, const int *sockets, const struct relay_target *targets, int count)
	__attribute__((noreturn));

/* ---- init.c, hello.c ---- */

int init_fork(void); /* returns in the child that becomes the workload; the parent is PID 1 from here */
int hello_main(void);

#endif
