/* System calls that the C library does not wrap. The numbers are the same on every architecture. */
#include "shim.h"

#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>

#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

int open_in_root(int dir, const char *path, u64 flags, u64 resolve)
{
	struct {
		u64 flags, mode, resolve;
	} how = { flags | O_CLOEXEC, 0, resolve };

	/* EAGAIN: a rename raced with the walk; the kernel asks us to try again. */
	for (int tries = 0; tries < 128; tries++) {
		int fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));
		if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
			return fd;
	}
	return -1;
}

/* linux/mount.h: struct mount_attr. */
struct attributes {
	u64 set, clear, propagation, userns_fd;
};

static int set_attributes(int fd, struct attributes a, bool recursive)
{
	return syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &a,
		       sizeof(a));
}

int mount_attr(int fd, u64 set, u64 clear, u64 propagation, bool recursive)
{
	return set_attributes(fd, (struct attributes){ set, clear, propagation, 0 }, recursive);
}

int mount_idmap(int fd, int userns, bool recursive)
{
	return set_attributes(fd, (struct attributes){ 0x100000 /* MOUNT_ATTR_IDMAP */, 0, 0, userns },
			      recursive);
}

int pidfd_of(pid_t pid)
{
	return syscall(SYS_pidfd_open, pid, 0);
}

static u64 clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

u64 now_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

u64 monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

void nonblocking(int fd)
{
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

void close_from(int first)
{
	syscall(SYS_close_range, first, ~0u, 0);
}

int use_capabilities(void)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return -1;
	d[0].effective = d[0].permitted;
	d[1].effective = d[1].permitted;
	return syscall(SYS_capset, &h, d);
}

int guard_again(void)
{
	return prctl(PR_SET_DUMPABLE, 0) < 0 ? -1 : prctl(PR_SET_PDEATHSIG, SIGKILL);
}
