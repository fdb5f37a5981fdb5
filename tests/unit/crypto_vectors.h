/* Reads the vector files of tests/vectors/crypto: lines of fields, hex or "-" or a name. */
#ifndef TEST_CRYPTO_VECTORS_H
#define TEST_CRYPTO_VECTORS_H

#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#define VECTOR_FIELDS 12

static inline struct sl_bytes vector_hex(const char *field)
{
    return strcmp(field, "-") == 0 ? sl_bytes(NULL, 0) : sl_test_hex(field);
}

/* Calls each(fields) for every line with n fields; returns how many there were. */
static inline size_t vector_each(const char *path, size_t n, void (*each)(char *const *fields))
{
    struct sl_bytes file = sl_test_file(path);
    char *text = sl_strdup_bytes(file), *lines = NULL;
    size_t count = 0;
    ck_assert_ptr_nonnull(text);
    for (char *line = strtok_r(text, "\n", &lines); line; line = strtok_r(NULL, "\n", &lines)) {
        char *fields[VECTOR_FIELDS], *words = NULL;
        size_t have = 0;
        if (line[0] == '#')
            continue;
        for (char *w = strtok_r(line, " ", &words); w; w = strtok_r(NULL, " ", &words)) {
            ck_assert_uint_lt(have, VECTOR_FIELDS);
            fields[have++] = w;
        }
        ck_assert_uint_eq(have, n);
        each(fields);
        count++;
    }
    free(text);
    return count;
}

#endif
