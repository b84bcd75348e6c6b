/* Plans: reading them, and running their steps one after the other. */
#include "shim.h"

#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>

static const struct {
	const char *name, *operands;
	step_fn *run;
} table[] = {
#define ROW(name, operands) { #name, operands, step_##name },
	STEPS(ROW)
#undef ROW
};

int plan_map(int fd, struct plan *plan)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)sizeof(struct plan_header))
		return -EBADMSG;
	plan->size = st.st_size;
	const uint8_t *base = mmap(NULL, plan->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (base == MAP_FAILED)
		return -errno;
	const struct plan_header *h = plan->head = (const void *)base;
	if (h->magic != PLAN_MAGIC || h->version != PLAN_VERSION ||
	    sizeof(*h) + (u64)h->outside_size + h->inside_size != plan->size) {
		plan_unmap(plan);
		return -EBADMSG;
	}
	base += sizeof(*h);
	plan->outside = (struct cursor){ base, base + h->outside_size, false };
	base += h->outside_size;
	plan->inside = (struct cursor){ base, base + h->inside_size, false };
	return 0;
}

void plan_unmap(struct plan *plan)
{
	munmap((void *)plan->head, plan->size);
}

int steps_run(struct cursor c, struct scene *scene)
{
	for (scene->index = 0; c.p < c.end; scene->index++) {
		u64 op = take_number(&c);

		scene->about = "";
		if (c.bad || op < 1 || op > COUNT(table))
			return -EBADMSG;
		int result = table[op - 1].run(&c, scene);
		if (result < 0)
			return result;
		if (c.bad)
			return -EBADMSG;
	}
	return 0;
}

void steps_print(void)
{
	for (size_t i = 0; i < COUNT(table); i++)
		printf("%zu %s %s\n", i + 1, table[i].name, table[i].operands);
}

static const uint8_t *take(struct cursor *c, size_t size)
{
	const uint8_t *p = c->p;

	if (c->bad || size > (size_t)(c->end - c->p)) {
		c->bad = true;
		return NULL;
	}
	c->p += size;
	return p;
}

u64 take_number(struct cursor *c)
{
	u64 value = 0;
	const uint8_t *p = take(c, sizeof(value));

	if (p)
		memcpy(&value, p, sizeof(value));
	return value;
}

const uint8_t *take_bytes(struct cursor *c, u32 *size)
{
	const uint8_t *p = take(c, sizeof(*size));

	*size = 0;
	if (!p)
		return (const uint8_t *)"";
	memcpy(size, p, sizeof(*size));
	/* A NUL follows the bytes and is not counted, so that strings can be used in place. */
	p = take(c, (size_t)*size + 1);
	if (!p || p[*size] != '\0') {
		c->bad = true;
		*size = 0;
		return (const uint8_t *)"";
	}
	return p;
}

const char *take_string(struct cursor *c)
{
	u32 size;

	return (const char *)take_bytes(c, &size);
}

int take_register(struct cursor *c, struct scene *s)
{
	u64 number = take_number(c);

	if (c->bad || number >= REGISTERS) {
		c->bad = true;
		errno = EBADMSG;
		return -1;
	}
	if (s->reg[number] < 0)
		errno = EBADF;
	return s->reg[number];
}

int put_register(struct scene *s, u64 number, int fd)
{
	if (fd < 0)
		return -errno;
	if (number >= REGISTERS) {
		close(fd);
		return -EBADMSG;
	}
	if (s->reg[number] >= 0)
		close(s->reg[number]);
	s->reg[number] = fd;
	return 0;
}
