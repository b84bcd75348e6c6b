/* Steps that build the root file system. Everything below a root is reached by openat2 from that
 * root's descriptor, in one call that the kernel resolves, so a link or a rename cannot lead out. */
#include "shim.h"

#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#define SYS_fsopen 430
#define SYS_fsconfig 431
#define SYS_fsmount 432
#endif

/* linux/mount.h, which cannot be included beside the C library's sys/mount.h. */
enum {
	CM_OPEN_TREE_CLONE = 1,
	CM_MOVE_F_EMPTY = 4,
	CM_MOVE_T_EMPTY = 0x40,
	CM_SET_FLAG = 0,
	CM_SET_STRING = 1,
	CM_SET_FD = 5,
	CM_CREATE = 6,
	CM_ATTR_RDONLY = 1,
};

enum { MAX_LINKS = 40 }; /* as the kernel follows */

static const u64 inside = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

int step_close(struct cursor *c, struct scene *s)
{
	u64 number = take_number(c);

	if (number >= REGISTERS || s->reg[number] < 0)
		return -EBADF;
	close(s->reg[number]);
	s->reg[number] = -1;
	return 0;
}

int step_open(struct cursor *c, struct scene *s)
{
	u64 w = take_number(c);
	const char *path = s->about = take_string(c);
	u64 flags = take_number(c);

	return put_register(s, w, open(path, (int)flags | O_CLOEXEC));
}

int step_open_in(struct cursor *c, struct scene *s)
{
	u64 w = take_number(c);
	int dir = take_register(c, s);
	const char *path = s->about = take_string(c);
	u64 flags = take_number(c), resolve = take_number(c);

	return put_register(s, w, open_in_root(dir, path, flags, resolve));
}

static int make_one(int dir, const char *name, bool file, mode_t mode)
{
	if (!file)
		return mkdirat(dir, name, mode);
	int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

/* name, in path, is a link to nothing: puts what it says in its place. Returns 1 then, 0 when it is no link
 * any more. */
static int substitute(int dir, char *path, const char *name, const char *rest)
{
	char link[PATH_MAX], whole[PATH_MAX];
	ssize_t n = readlinkat(dir, name, link, sizeof(link) - 1);

	if (n < 0)
		return errno == EINVAL ? 0 : -errno;
	link[n] = '\0';
	int before = link[0] == '/' ? 0 : name - path;
	n = snprintf(whole, sizeof(whole), "%.*s%s%s%s", before, path, link, *rest ? "/" : "", rest);
	if (n < 0 || (size_t)n >= sizeof(whole))
		return -ENAMETOOLONG;
	memcpy(path, whole, n + 1);
	return 1;
}

/* Makes what is missing of path below root: directories, and at the end a directory or a file. Returns 1
 * when path led through a link to nothing, and is now what that link says. */
static int make_missing(int root, char *path, bool file, mode_t mode)
{
	int dir = open_in_root(root, ".", O_PATH | O_DIRECTORY, inside), result = dir < 0 ? -errno : 0;

	for (char *name = path; dir >= 0;) {
		name += strspn(name, "/");
		char *end = name + strcspn(name, "/"), *rest = end + strspn(end, "/");
		char saved = *end;
		/* The whole prefix is resolved from the root each time: a component may be a link. */
		*end = '\0';
		int next = open_in_root(root, path, O_PATH | (*rest ? O_DIRECTORY : 0), inside);
		bool made = next < 0 && errno == ENOENT && make_one(dir, name, file && !*rest,
								     *rest ? 0755 : mode) == 0;
		if (made)
			next = open_in_root(root, path, O_PATH | (*rest ? O_DIRECTORY : 0), inside);
		if (next < 0)
			result = errno == EEXIST ? substitute(dir, path, name, rest) : -errno;
		if (result <= 0)
			*end = saved;
		close(dir);
		dir = next;
		name = rest;
		if (!*rest)
			break;
	}
	if (dir >= 0)
		close(dir);
	return result;
}

enum target_kind { TARGET_DIRECTORY, TARGET_FILE, TARGET_REAL_DIRECTORY, TARGET_ON_PROC = 8 };

static int check_target(int fd, u64 kind)
{
	struct statfs st;

	if (fd < 0 || kind == TARGET_REAL_DIRECTORY || kind & TARGET_ON_PROC)
		return 0;
	if (fstatfs(fd, &st) < 0)
		return -errno;
	return st.f_type == PROC_SUPER_MAGIC ? -EXDEV : 0;
}

/* The place a mount goes to: found below the root, made when it is not there. A real directory must not be
 * a link (/proc and /sys: CVE-2019-19921); nothing else goes onto procfs, however the image's links lead
 * there, but what is meant to (CVE-2019-16884). */
int step_target(struct cursor *c, struct scene *s)
{
	u64 w = take_number(c);
	int root = take_register(c, s);
	const char *name = s->about = take_string(c);
	u64 kind = take_number(c), mode = take_number(c);
	bool file = (kind & ~TARGET_ON_PROC) == TARGET_FILE;
	u64 flags = O_PATH | (file ? 0 : O_DIRECTORY) | (kind == TARGET_REAL_DIRECTORY ? O_NOFOLLOW : 0);
	char path[PATH_MAX];

	if (c->bad)
		return -EBADMSG;
	if (strlen(name) >= sizeof(path))
		return -ENAMETOOLONG;
	strcpy(path, name);
	int fd = open_in_root(root, path, flags, inside);
	for (int links = 0; fd < 0 && errno == ENOENT; links++) {
		int result = links < MAX_LINKS ? make_missing(root, path, file, mode) : -ELOOP;
		if (result < 0)
			return result;
		fd = open_in_root(root, path, flags, inside);
	}
	int error = check_target(fd, kind);
	if (error < 0) {
		close(fd);
		return error;
	}
	return put_register(s, w, fd);
}

int step_fsopen(struct cursor *c, struct scene *s)
{
	u64 w = take_number(c);
	const char *type = s->about = take_string(c);

	return put_register(s, w, syscall(SYS_fsopen, type, 1 /* FSOPEN_CLOEXEC */));
}

int step_fsconfig(struct cursor *c, struct scene *s)
{
	int fs = take_register(c, s);
	const char *key = s->about = take_string(c), *value = take_string(c);

	/* An empty value is a flag; the file systems used here have no empty strings. */
	if (syscall(SYS_fsconfig, fs, *value ? CM_SET_STRING : CM_SET_FLAG, key, *value ? value : NULL,
		    0) < 0)
		return -errno;
	return 0;
}

int step_fsconfig_fd(struct cursor *c, struct scene *s)
{
	int fs = take_register(c, s);
	const char *key = s->about = take_string(c);
	int value = take_register(c, s);

	return syscall(SYS_fsconfig, fs, CM_SET_FD, key, NULL, value) < 0 ? -errno : 0;
}

int step_fsmount(struct cursor *c, struct scene *s)
{
	u64 w = take_number(c);
	int fs = take_register(c, s);
	u64 attributes = take_number(c);

	if (syscall(SYS_fsconfig, fs, CM_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	return put_register(s, w, syscall(SYS_fsmount, fs, 1 /* FSMOUNT_CLOEXEC */, attributes));
}

int step_open_tree(struct cursor *c, struct scene *s)
{
	u64 w = take_number(c);
	int dir = take_register(c, s);
	const char *path = s->about = take_string(c);
	u64 flags = take_number(c);

	return put_register(s, w, syscall(SYS_open_tree, dir, path, flags | O_CLOEXEC));
}

int step_setattr(struct cursor *c, struct scene *s)
{
	int fd = take_register(c, s);
	u64 set = take_number(c), clear = take_number(c), propagation = take_number(c);
	u64 recursive = take_number(c);

	return mount_attr(fd, set, clear, propagation, recursive) < 0 ? -errno : 0;
}

static int move(int from, int to)
{
	return syscall(SYS_move_mount, from, "", to, "", CM_MOVE_F_EMPTY | CM_MOVE_T_EMPTY);
}

int step_move_mount(struct cursor *c, struct scene *s)
{
	int from = take_register(c, s), to = take_register(c, s);

	return move(from, to) < 0 ? -errno : 0;
}

int step_mount_at(struct cursor *c, struct scene *s)
{
	int from = take_register(c, s);
	const char *path = s->about = take_string(c);

	return syscall(SYS_move_mount, from, "", AT_FDCWD, path, CM_MOVE_F_EMPTY) < 0 ? -errno : 0;
}

/* The old call, for kernels whose overlayfs does not know the new one; only onto our own paths. */
int step_mount(struct cursor *c, struct scene *s)
{
	const char *source = take_string(c), *target = s->about = take_string(c);
	const char *type = take_string(c);
	u64 flags = take_number(c);
	const char *data = take_string(c);

	return mount(source, target, type, flags, data) < 0 ? -errno : 0;
}

int step_mknod(struct cursor *c, struct scene *s)
{
	int dir = take_register(c, s);
	const char *name = s->about = take_string(c);
	u64 mode = take_number(c), device = take_number(c), uid = take_number(c), gid = take_number(c);

	if (mknodat(dir, name, mode, makedev(device >> 32, device & 0xffffffff)) < 0)
		return -errno;
	if ((uid || gid) && fchownat(dir, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return 0;
}

int step_mkdir(struct cursor *c, struct scene *s)
{
	int dir = take_register(c, s);
	const char *name = s->about = take_string(c);
	u64 mode = take_number(c);

	return mkdirat(dir, name, mode) < 0 ? -errno : 0;
}

int step_symlink(struct cursor *c, struct scene *s)
{
	const char *to = take_string(c);
	int dir = take_register(c, s);
	const char *name = s->about = take_string(c);

	return symlinkat(to, dir, name) < 0 ? -errno : 0;
}

/* Writes a setting; path is below the directory, through no link and no other mount. */
int step_write(struct cursor *c, struct scene *s)
{
	int dir = take_register(c, s);
	const char *path = s->about = take_string(c);
	u32 size;
	const uint8_t *data = take_bytes(c, &size);

	int fd = open_in_root(dir, path, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, data, size);
	int saved = n < 0 ? errno : (size_t)n == size ? 0 : EIO;
	close(fd);
	return -saved;
}

int step_expect_fs(struct cursor *c, struct scene *s)
{
	int fd = take_register(c, s);
	u64 magic = take_number(c);
	struct statfs st;

	if (fstatfs(fd, &st) < 0)
		return -errno;
	return (u64)(u32)st.f_type == magic ? 0 : -EXDEV;
}

/* Mounts a copy of cover over what path resolves to; what is not there needs no cover. */
static int cover(int target, int cover, u64 attributes)
{
	int copy = syscall(SYS_open_tree, cover, "", CM_OPEN_TREE_CLONE | AT_EMPTY_PATH | O_CLOEXEC);
	int result = 0;

	if (copy < 0)
		return -errno;
	if ((attributes && mount_attr(copy, attributes, 0, 0, false) < 0) || move(copy, target) < 0)
		result = -errno;
	close(copy);
	return result;
}

int step_mask(struct cursor *c, struct scene *s)
{
	int root = take_register(c, s);
	const char *path = s->about = take_string(c);
	int null = take_register(c, s), empty = take_register(c, s);
	struct stat st;

	if (c->bad)
		return -EBADMSG;
	int fd = open_in_root(root, path, O_PATH, inside);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	int result = fstat(fd, &st) < 0 ? -errno : cover(fd, S_ISDIR(st.st_mode) ? empty : null, 0);
	close(fd);
	return result;
}

int step_readonly(struct cursor *c, struct scene *s)
{
	int root = take_register(c, s);
	const char *path = s->about = take_string(c);

	if (c->bad)
		return -EBADMSG;
	int fd = open_in_root(root, path, O_PATH, inside);
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	int result = cover(fd, fd, CM_ATTR_RDONLY);
	close(fd);
	return result;
}

int step_pivot(struct cursor *c, struct scene *s)
{
	int root = take_register(c, s);

	/* The old root is stacked under the new one and then detached: man 2 pivot_root, NOTES. */
	if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 ||
	    chdir("/") < 0)
		return -errno;
	return 0;
}
