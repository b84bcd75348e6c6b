/* Steps that make the process what it shall be: identity, limits, filter, terminal, program. */
#include "shim.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	int result = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return result;
}

/* Outside: puts the waiting room into a cgroup. */
int step_attach(struct cursor *c, struct scene *s)
{
	const char *path = s->about = take_string(c);
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", s->child);
	return write_file(path, pid);
}

int step_hostname(struct cursor *c, struct scene *s)
{
	const char *name = s->about = take_string(c);

	return sethostname(name, strlen(name)) < 0 ? -errno : 0;
}

int step_domainname(struct cursor *c, struct scene *s)
{
	const char *name = s->about = take_string(c);

	return setdomainname(name, strlen(name)) < 0 ? -errno : 0;
}

int step_unshare(struct cursor *c, struct scene *s)
{
	(void)s;
	return syscall(SYS_unshare, take_number(c)) < 0 ? -errno : 0;
}

int step_setns(struct cursor *c, struct scene *s)
{
	int fd = take_register(c, s);
	u64 kinds = take_number(c);

	return syscall(SYS_setns, fd, kinds) < 0 ? -errno : 0;
}

int step_rlimit(struct cursor *c, struct scene *s)
{
	static char about[32];
	u64 resource = take_number(c), soft = take_number(c), hard = take_number(c);
	struct rlimit now;

	snprintf(about, sizeof(about), "rlimit %llu", (unsigned long long)resource);
	s->about = about;
	if (setrlimit(resource, &(struct rlimit){ soft, hard }) < 0 || getrlimit(resource, &now) < 0)
		return -errno;
	return now.rlim_cur == soft && now.rlim_max == hard ? 0 : -EINVAL;
}

int step_chdir(struct cursor *c, struct scene *s)
{
	const char *path = s->about = take_string(c);
	char now[4096];

	if (chdir(path) < 0)
		return -errno;
	/* A directory outside of the root has no path: the kernel says "(unreachable)" (CVE-2024-21626). */
	if (syscall(SYS_getcwd, now, sizeof(now)) < 0)
		return -errno;
	return now[0] == '/' ? 0 : -EXDEV;
}

int step_groups(struct cursor *c, struct scene *s)
{
	u32 size;
	const uint8_t *ids = take_bytes(c, &size);
	gid_t list[1024];

	s->about = "groups";
	if (size > sizeof(list) || size % sizeof(gid_t))
		return -EINVAL;
	memcpy(list, ids, size);
	return syscall(SYS_setgroups, size / sizeof(gid_t), list) < 0 ? -errno : 0;
}

/* Capabilities stay permitted, for the steps between this one and the last capabilities step. */
int step_identity(struct cursor *c, struct scene *s)
{
	u64 uid = take_number(c), gid = take_number(c);

	(void)s;
	if (prctl(PR_SET_KEEPCAPS, 1) < 0 || syscall(SYS_setresgid, gid, gid, gid) < 0 ||
	    syscall(SYS_setresuid, uid, uid, uid) < 0 || prctl(PR_SET_KEEPCAPS, 0) < 0)
		return -errno;
	return use_capabilities() < 0 || guard_again() < 0 ? -errno : 0;
}

int step_bounding(struct cursor *c, struct scene *s)
{
	u64 keep = take_number(c);

	(void)s;
	for (int cap = 0; cap < 64; cap++) {
		int now = prctl(PR_CAPBSET_READ, cap);
		if (now < 0)
			break; /* the kernel has no more */
		if (now && !(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap) < 0)
			return -errno;
	}
	return 0;
}

int step_capabilities(struct cursor *c, struct scene *s)
{
	u64 effective = take_number(c), permitted = take_number(c), inheritable = take_number(c);
	u64 ambient = take_number(c);
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {
		{ (u32)effective, (u32)permitted, (u32)inheritable },
		{ (u32)(effective >> 32), (u32)(permitted >> 32), (u32)(inheritable >> 32) },
	};

	s->about = "capabilities";
	if (syscall(SYS_capset, &h, d) < 0)
		return -errno;
	for (int cap = 0; cap < 64; cap++)
		if (ambient >> cap & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0)
			return -errno;
	return 0;
}

int step_no_new_privs(struct cursor *c, struct scene *s)
{
	(void)c, (void)s;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int step_seccomp(struct cursor *c, struct scene *s)
{
	u64 flags = take_number(c);
	u32 size;
	const uint8_t *code = take_bytes(c, &size);
	struct sock_fprog program = { size / sizeof(struct sock_filter), (void *)code };

	s->about = "seccomp filter";
	/* A length that does not fit would load the beginning of the filter only. */
	if (size % sizeof(struct sock_filter) || size / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return -EINVAL;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0 ? -errno : 0;
}

int step_umask(struct cursor *c, struct scene *s)
{
	(void)s;
	umask(take_number(c));
	return 0;
}

int step_oom_score_adj(struct cursor *c, struct scene *s)
{
	const char *value = take_string(c);
	char path[48] = "/proc/self/oom_score_adj";

	if (s->child)
		snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", s->child);
	int error = write_file(path, value);
	s->about = "oom_score_adj";
	/* 0 is no wish but the default: an engine that may not lower its own keeps it. */
	return error == -EACCES && !strcmp(value, "0") ? 0 : error;
}

/* The workload's user may open /dev/stdout again by its /proc link. */
int step_stdio_owner(struct cursor *c, struct scene *s)
{
	u64 uid = take_number(c);
	struct stat st;

	s->about = "stdio";
	for (int fd = 0; fd <= 2; fd++) {
		if (fstat(fd, &st) < 0)
			return -errno;
		/* Pipes and terminals of our own only: not the null device that everybody shares. The
		 * group stays: terminals belong to tty. In a user namespace the supervisor has given the
		 * pipes away, which nobody in it may. */
		if ((S_ISFIFO(st.st_mode) || isatty(fd)) && st.st_uid != uid && fchown(fd, uid, -1) < 0)
			return -errno;
	}
	return 0;
}

int step_pty(struct cursor *c, struct scene *s)
{
	u64 w = take_number(c);
	int devpts = take_register(c, s);
	u64 rows = take_number(c), columns = take_number(c);
	int unlock = 0;

	s->about = "terminal";
	if (rows > UINT16_MAX || columns > UINT16_MAX)
		return -EINVAL;
	int master = openat(devpts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NOFOLLOW);
	if (master < 0)
		return -errno;
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	struct winsize size = { rows, columns, 0, 0 };
	if ((rows || columns) && ioctl(slave, TIOCSWINSZ, &size) < 0)
		return -errno;
	if (wire_send(s->setup, &(struct message){ EV_PTY, 0, 0, 0 }, NULL, 0, &master, 1) < 0)
		return -errno;
	close(master);
	if (ioctl(slave, TIOCSCTTY, 0) < 0 || dup2(slave, 0) < 0 || dup2(slave, 1) < 0 || dup2(slave, 2) < 0)
		return -errno;
	return put_register(s, w, slave);
}

/* A session keyring without a name, since whoever knows a name can join: not the engine's, nor that of
 * another container. */
int step_keyring(struct cursor *c, struct scene *s)
{
	(void)c;
	s->about = "session keyring";
	/* A kernel without keys has nothing to separate. */
	if (syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL) < 0 && errno != ENOSYS)
		return -errno;
	return 0;
}

int step_init(struct cursor *c, struct scene *s)
{
	(void)c, (void)s;
	return init_fork();
}

static char **take_vector(struct cursor *c)
{
	u64 count = take_number(c);

	/* Each string takes at least five bytes, so the count is bounded by the plan's size. */
	if (c->bad || count > (size_t)(c->end - c->p)) {
		c->bad = true;
		return NULL;
	}
	char **v = calloc(count + 1, sizeof(*v));
	for (u64 i = 0; v && i < count; i++)
		v[i] = (char *)take_string(c);
	return v;
}

static const char *search_path(char **env)
{
	for (; *env; env++)
		if (!strncmp(*env, "PATH=", 5))
			return *env + 5;
	return "";
}

/* As execvpe(3), with the PATH of the container's environment, and the most telling error. */
static int exec_by_path(const char *name, char **args, char **env)
{
	char file[4096];
	int best = ENOENT;

	for (const char *p = search_path(env), *end; *p; p = *end ? end + 1 : end) {
		end = strchr(p, ':');
		if (!end)
			end = p + strlen(p);
		int n = snprintf(file, sizeof(file), "%.*s/%s", (int)(end - p), p, name);
		if (n < 0 || (size_t)n >= sizeof(file) || file[0] != '/')
			continue;
		execve(file, args, env);
		if (errno == EACCES)
			best = EACCES;
		else if (errno != ENOENT && errno != ENOTDIR)
			return -errno;
	}
	return -best;
}

int step_exec(struct cursor *c, struct scene *s)
{
	char **args = take_vector(c), **env = take_vector(c);

	if (c->bad || !args || !env || !args[0])
		return c->bad ? -EBADMSG : -ENOMEM;
	s->about = args[0];
	if (!strchr(args[0], '/'))
		return args[0][0] ? exec_by_path(args[0], args, env) : -ENOENT;
	execve(args[0], args, env);
	return -errno;
}
