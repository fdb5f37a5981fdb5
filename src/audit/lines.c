/* Reading the audit log line by line, with a limit on a line's length; see impl.h. */
#include "src/audit/impl.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum sl_rc audit_lines_open(struct audit_lines *l, int fd, struct sl_err *err)
{
    *l = (struct audit_lines){ .f = fdopen(fd, "r") };
    if (!l->f) {
        close(fd);
        return SL_FAIL_MEM(err);
    }
    rewind(l->f);
    return SL_OK;
}

void audit_lines_close(struct audit_lines *l)
{
    if (l->f)
        fclose(l->f);
    free(l->buf);
    *l = (struct audit_lines){ 0 };
}

static bool put(struct audit_lines *l, size_t n, int c)
{
    if (n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4096;
        char *grown = realloc(l->buf, cap);
        if (!grown)
            return false;
        l->buf = grown;
        l->cap = cap;
    }
    l->buf[n] = (char)c;
    return true;
}

enum audit_got audit_lines_next(struct audit_lines *l, struct sl_bytes *line)
{
    size_t n = 0;
    int c;
    l->offset = l->next;
    /* What is longer than a record is counted but not kept: it is no record whatever it holds. */
    for (; (c = getc_unlocked(l->f)) != EOF; n++) {
        l->next++;
        if (c == '\n')
            break;
        if (n <= AUDIT_LINE_MAX && !put(l, n, c))
            return AUDIT_GOT_ERROR;
    }
    if (c == EOF && ferror(l->f))
        return AUDIT_GOT_ERROR;
    *line = sl_bytes(l->buf, n <= AUDIT_LINE_MAX ? n : AUDIT_LINE_MAX + 1);
    if (c == EOF && n == 0)
        return AUDIT_GOT_END;
    l->line++;
    return c == EOF ? AUDIT_GOT_TORN : AUDIT_GOT_LINE;
}
