/* Steps for user namespaces, and for what another container shares. */
#include "shim.h"

#include <sched.h>
#include <stdio.h>
#include <sys/syscall.h>

#ifndef SYS_open_tree
#define SYS_open_tree 428
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

static int open_of_child(const struct scene *s, const char *name, int flags)
{
	char path[64];
	int n = snprintf(path, sizeof(path), "/proc/%d/%s", s->child, name);

	if (s->child <= 0 || n >= (int)sizeof(path)) {
		errno = EINVAL;
		return -1;
	}
	return open(path, flags | O_CLOEXEC);
}

static int write_map(const struct scene *s, const char *name, const char *map)
{
	int fd = open_of_child(s, name, O_WRONLY);

	if (fd < 0)
		return -errno;
	int error = write(fd, map, strlen(map)) == (ssize_t)strlen(map) ? 0 : errno ? -errno : -EIO;
	close(fd);
	return error;
}

/* Outside: which ids of the host those of the waiting room's user namespace are. */
int step_id_maps(struct cursor *c, struct scene *s)
{
	const char *uids = take_string(c), *gids = take_string(c);

	s->about = "id maps";
	int error = write_map(s, "uid_map", uids);
	return error < 0 ? error : write_map(s, "gid_map", gids);
}

/* Outside: a namespace of the waiting room. */
int step_namespace(struct cursor *c, struct scene *s)
{
	u64 w = take_number(c);
	const char *name = s->about = take_string(c);
	char path[32];

	if (snprintf(path, sizeof(path), "ns/%s", name) >= (int)sizeof(path))
		return -EINVAL;
	return put_register(s, w, open_of_child(s, path, O_RDONLY));
}

/* Shows the owners on a detached mount as the user namespace maps them. */
int step_idmapped(struct cursor *c, struct scene *s)
{
	int mount = take_register(c, s), userns = take_register(c, s);
	u64 recursive = take_number(c);

	return mount_idmap(mount, userns, recursive) < 0 ? -errno : 0;
}

/* Becomes root of the user namespace that it is in; until then its user is one that has no id there. */
int step_own_root(struct cursor *c, struct scene *s)
{
	(void)c;
	s->about = "root of the user namespace";
	if (syscall(SYS_setgroups, 0, NULL) < 0 || syscall(SYS_setresgid, 0, 0, 0) < 0 ||
	    syscall(SYS_setresuid, 0, 0, 0) < 0)
		return -errno;
	return guard_again() < 0 ? -errno : 0;
}

/* Acts on files as this user and group of the host, with all that root may: an overlay works with the
 * credentials of who made it, and where owners are mapped those of the host's root have no place. */
int step_file_owner(struct cursor *c, struct scene *s)
{
	u64 id = take_number(c);

	s->about = "user of files";
	syscall(SYS_setfsgid, (gid_t)id);
	syscall(SYS_setfsuid, (uid_t)id);
	/* They return what was before; what is now is told by one more call, which changes nothing. */
	if ((uid_t)syscall(SYS_setfsuid, -1) != (uid_t)id || (gid_t)syscall(SYS_setfsgid, -1) != (gid_t)id)
		return -EPERM;
	return use_capabilities() < 0 ? -errno : 0;
}

/* A copy of the tree at path, as the process sees it: only in its mount namespace can it be made. */
int step_tree_from(struct cursor *c, struct scene *s)
{
	u64 w = take_number(c);
	int process = take_register(c, s), own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	const char *path = s->about = take_string(c);
	int dir = -1, tree = -1, error = 0;

	if (own < 0)
		return -errno;
	if (syscall(SYS_setns, process, CLONE_NEWNS) < 0) {
		error = -errno;
	} else {
		/* Through no link: what is there was put there when the container started. */
		int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		dir = open_in_root(root, path, O_PATH, 0x02 | 0x04 | 0x10 /* NO_MAGICLINKS, NO_SYMLINKS,
									     IN_ROOT */);
		tree = dir < 0 ? -1 : syscall(SYS_open_tree, dir, "", 1 | AT_EMPTY_PATH | O_CLOEXEC);
		error = tree < 0 ? -errno : 0;
		close(root);
		if (syscall(SYS_setns, own, CLONE_NEWNS) < 0)
			error = -errno;
	}
	if (dir >= 0)
		close(dir);
	close(own);
	if (error < 0) {
		if (tree >= 0)
			close(tree);
		return error;
	}
	return put_register(s, w, tree);
}
