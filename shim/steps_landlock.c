/* Steps for Landlock: what the process and its children may do, whatever the other walls let through. */
#include "shim.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif

/* linux/landlock.h, which may be older here than the kernel that runs. */
struct ruleset {
	u64 files, network, scopes;
};

struct __attribute__((packed)) beneath {
	u64 allowed;
	int32_t parent;
};

/* What the rules are about: nothing of it is allowed unless a rule says so. */
int step_landlock(struct cursor *c, struct scene *s)
{
	u64 w = take_number(c);
	struct ruleset r = { .files = take_number(c) };
	size_t size = sizeof(r);

	r.network = take_number(c);
	r.scopes = take_number(c);
	s->about = "landlock";
	/* An older kernel takes a shorter structure, and refuses a longer one only if its rest says
	 * something. */
	return put_register(s, w, syscall(SYS_landlock_create_ruleset, &r, size, 0));
}

/* Allows something beneath a path; what is not there needs no rule. */
int step_landlock_allow(struct cursor *c, struct scene *s)
{
	int ruleset = take_register(c, s);
	const char *path = s->about = take_string(c);
	struct beneath rule = { .allowed = take_number(c) };
	int error = 0;

	rule.parent = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	if (syscall(SYS_landlock_add_rule, ruleset, 1 /* LANDLOCK_RULE_PATH_BENEATH */, &rule, 0) < 0)
		error = -errno;
	close(rule.parent);
	return error;
}

int step_landlock_enter(struct cursor *c, struct scene *s)
{
	int ruleset = take_register(c, s);

	s->about = "landlock";
	return syscall(SYS_landlock_restrict_self, ruleset, 0) < 0 ? -errno : 0;
}
