/* What an engine asks of a supervisor. */
#include "supervisor.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* Sends plan, stdio and registers into the waiting room. */
static int release(struct process *p, const struct plan *plan, int plan_fd, const int *regs, int nregs)
{
	int in[2] = { -1, -1 }, out[2] = { -1, -1 }, err[2] = { -1, -1 }, fds[MAX_FDS], result = 0;

	p->tty = plan->head->flags & PLAN_TTY;
	p->stdin_once = plan->head->flags & PLAN_STDIN_ONCE;
	if (plan->head->flags & PLAN_STDIN && !p->tty) {
		if (pipe2(in, O_CLOEXEC) < 0)
			return -errno;
	} else {
		in[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (p->tty)
		out[1] = open("/dev/null", O_WRONLY | O_CLOEXEC), err[1] = dup(out[1]);
	else if (pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0)
		result = -errno;
	int count = 0;
	fds[count++] = plan_fd;
	fds[count++] = in[0];
	fds[count++] = out[1];
	fds[count++] = err[1];
	for (int i = 0; i < nregs && count < MAX_FDS; i++)
		fds[count++] = regs[i];
	if (!result && wire_send(p->setup, &(struct message){ REQ_START, p->id, 0, 0 }, NULL, 0, fds, count) < 0)
		result = -errno;
	close(in[0]);
	close(out[1]);
	close(err[1]);
	p->in = in[1];
	p->out = out[0];
	p->err = err[0];
	for (int i = 0; i < 3; i++) {
		int fd = (int[]){ p->in, p->out, p->err }[i];
		if (fd >= 0)
			nonblocking(fd);
	}
	return result;
}

static int run_outside(const struct plan *plan, pid_t child, const int *regs, int nregs, struct scene *s)
{
	*s = (struct scene){ .setup = -1, .child = child };
	for (int i = 0; i < REGISTERS; i++)
		s->reg[i] = i < nregs ? regs[i] : -1;
	return steps_run(plan->outside, s);
}

static int prepare(int fd, const int *regs, int nregs)
{
	struct plan plan;
	struct scene s;
	int error = plan_map(fd, &plan);

	if (error < 0)
		return error;
	error = run_outside(&plan, self.main->pid, regs, nregs, &s);
	if (error == 0 && plan.head->inside_size &&
	    wire_send(self.main->setup, &(struct message){ REQ_PREPARE, 0, 0, 0 }, NULL, 0, &fd, 1) < 0)
		error = -errno;
	plan_unmap(&plan);
	return error;
}

static void start_failed(int engine, int error, const struct scene *s)
{
	report_failure(engine, 0, error, s);
	kill(self.main->pid, SIGKILL);
	self.main->failed = true;
}

static void start(int engine, int *fds, int nfds)
{
	struct process *p = self.main;
	struct plan plan;
	struct scene s = { .about = "plan" };

	int error = nfds < 2 || self.state >= 0 ? -EINVAL : plan_map(fds[0], &plan);
	if (error < 0) {
		start_failed(engine, error, &s);
		return;
	}
	error = run_outside(&plan, p->pid, fds + 2, nfds - 2, &s);
	if (error == 0) {
		s.about = "control socket";
		self.state = fcntl(fds[1], F_DUPFD_CLOEXEC, 10);
		self.listener = error = listen_in(self.state);
	}
	if (error >= 0) {
		if (plan.head->flags & PLAN_LOG)
			log_open(&p->log, self.state, plan.head->log_bytes, plan.head->log_files);
		error = release(p, &plan, fds[0], fds + 2, nfds - 2);
	}
	if (error < 0)
		start_failed(engine, error, &s);
	plan_unmap(&plan);
}

/* A room for an exec: made by the nursery when there is one, since then it is born in the cgroups. */
static int exec_room(struct process *p)
{
	if (self.nursery.sock >= 0 && nursery_room(&self.nursery, &p->pid, &p->setup) == 0) {
		p->pidfd = pidfd_of(p->pid);
		return p->pidfd < 0 ? -errno : 1;
	}
	/* Only children are born into the namespace; back again, so that no other child is. */
	int own = pidfd_of(getpid());
	if (own < 0 || syscall(SYS_setns, self.main->pidfd, CLONE_NEWPID) < 0)
		return -errno;
	p->pid = room_open(0, &p->pidfd, &p->setup);
	syscall(SYS_setns, own, CLONE_NEWPID);
	close(own);
	return p->pid < 0 ? p->pid : 0;
}

static void exec_failed(int engine, struct process *p, u32 id, int error, const struct scene *s)
{
	report_failure(engine, id, error, s);
	if (!p)
		return;
	p->failed = true;
	if (p->pid > 0)
		kill(p->pid, SIGKILL); /* and forgotten when it is gone */
	else
		process_forget(p);
}

static void exec(int engine, u32 id, int *fds, int nfds)
{
	struct plan plan;
	struct scene s = { .about = "exec" };
	int regs[MAX_FDS] = { self.main->pidfd };

	/* An attached client may have made it already. */
	struct process *p = process_find(id);
	if (nfds < 1 || nfds > MAX_FDS - 5 || !id || (p && p->pid >= 0)) {
		exec_failed(engine, NULL, id, -EINVAL, &s);
		return;
	}
	if (!p)
		p = process_new(id);
	int error = p ? plan_map(fds[0], &plan) : -ENOMEM;
	if (error < 0) {
		exec_failed(engine, p, id, error, &s);
		return;
	}
	memcpy(regs + 1, fds + 1, (nfds - 1) * sizeof(int));
	error = self.main->exited ? -ESRCH : exec_room(p);
	if (error == 0)
		error = run_outside(&plan, p->pid, regs, nfds, &s);
	if (error >= 0)
		error = release(p, &plan, fds[0], regs, nfds);
	if (error < 0)
		exec_failed(engine, p, id, error, &s);
	plan_unmap(&plan);
}

static int attach(u32 id, int fd, unsigned flags)
{
	struct process *p = process_find(id);

	/* An exec's client comes before the exec, so that no byte is missed. */
	if (!p && id)
		p = process_new(id);
	if (!p || p->exited)
		return -ESRCH;
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return -errno;
	if (!streams_attach(p, own, flags)) {
		close(own);
		return -ENOMEM;
	}
	return 0;
}

static int open_network(int engine, u32 id)
{
	int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), netlink = -1, error = 0;

	if (own < 0 || syscall(SYS_setns, self.main->pidfd, CLONE_NEWNET) < 0)
		error = -errno;
	else
		netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (netlink < 0 && !error)
		error = -errno;
	if (own >= 0) {
		/* Staying behind would put relays and later children into the wrong network. */
		if (syscall(SYS_setns, own, CLONE_NEWNET) < 0)
			abort();
		close(own);
	}
	if (error)
		return error;
	wire_send(engine, &(struct message){ EV_DONE, id, 0, 0 }, NULL, 0, &netlink, 1);
	close(netlink);
	return 1;
}

static int relay_start(u32 id, const void *targets, size_t size, const int *fds, int nfds)
{
	struct relay_target own[MAX_FDS];

	if (!nfds || size != nfds * sizeof(*own))
		return -EINVAL;
	memcpy(own, targets, size);
	for (size_t i = 0; i < RELAYS; i++) {
		if (self.relay[i].pid)
			continue;
		pid_t pid = fork();
		if (pid < 0)
			return -errno;
		if (pid == 0)
			relay_main(fds, own, nfds);
		self.relay[i].id = id;
		self.relay[i].pid = pid;
		return 0;
	}
	return -ENOSPC;
}

int relay_stop(u32 id, bool all)
{
	int found = -ESRCH;

	for (size_t i = 0; i < RELAYS; i++)
		if (self.relay[i].pid && (all || self.relay[i].id == id)) {
			kill(self.relay[i].pid, SIGKILL);
			waitpid(self.relay[i].pid, NULL, 0);
			self.relay[i].pid = 0;
			found = 0;
		}
	return found;
}

static int start_nursery(int fd, const int *regs, int nregs)
{
	struct plan plan;
	struct scene s;

	if (self.nursery.sock >= 0)
		return 0;
	int error = plan_map(fd, &plan);
	if (error < 0)
		return error;
	error = nursery_open(&self.nursery, self.main->pidfd);
	if (error == 0 && (error = run_outside(&plan, self.nursery.pid, regs, nregs, &s)) < 0)
		nursery_close(&self.nursery);
	plan_unmap(&plan);
	return error;
}

static int status(int engine)
{
	for (struct process *p = self.list; p; p = p->next) {
		if (p->exited)
			wire_send(engine, &(struct message){ EV_EXITED, p->id, p->status, p->exited_ns }, NULL, 0,
				  NULL, 0);
		else if (p->started_ns)
			wire_send(engine, &(struct message){ EV_STATUS, p->id, p->pid, p->started_ns }, NULL, 0,
				  NULL, 0);
	}
	return 0;
}

/* Returns 1 when the answer is sent or will come as an event, else 0 or -errno for the caller to send. */
int perform(int engine, struct message *m, const char *payload, size_t size, int *fds, int nfds)
{
	struct process *p = process_find(m->id);

	switch (m->kind) {
	case REQ_PREPARE:
		return nfds < 1 ? -EINVAL : prepare(fds[0], fds + 1, nfds - 1);
	case REQ_START:
		start(engine, fds, nfds);
		return 1;
	case REQ_EXEC:
		exec(engine, m->id, fds, nfds);
		return 1;
	case REQ_KILL:
		if (!p || p->exited || p->pid < 0)
			return -ESRCH;
		/* Our own child, not yet waited for: the number cannot be another's. */
		return kill(p->pid, m->a) < 0 ? -errno : 0;
	case REQ_ATTACH:
		return nfds == 1 ? attach(m->id, fds[0], m->a) : -EINVAL;
	case REQ_RESIZE:
		return p ? streams_resize(p, m->a, m->b) : -ESRCH;
	case REQ_STATUS:
		return status(engine);
	case REQ_RELAY:
		return relay_start(m->id, payload, size, fds, nfds);
	case REQ_UNRELAY:
		return relay_stop(m->id, false);
	case REQ_NETLINK:
		return open_network(engine, m->id);
	case REQ_NURSERY:
		return nfds < 1 ? -EINVAL : start_nursery(fds[0], fds + 1, nfds - 1);
	case REQ_FREE:
		if (p && p->id && p->exited && !p->clients)
			process_forget(p);
		return 0;
	}
	return -ENOSYS;
}
