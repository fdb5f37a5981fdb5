/* An LDIF file, searched; or, after an 'F', an RFC 4515 filter applied to a fixed entry. */
#include "sealane/directory.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sl_err err;
    SL_AUTO(sl_filter) *f = NULL;
    struct sl_entries all = { 0 }, found = { 0 };
    static const char fixed[] = "dn: cn=a,dc=lab\ncn: gw a\nl: 7\nd: *\n";
    char *text = NULL;
    if (size > 0 && data[0] == 'F') {
        text = sl_strdup_bytes(sl_bytes(data + 1, size - 1));
        if (!text || sl_filter_parse(&f, text, &err) != SL_OK ||
            sl_ldif_read(&all, sl_str(fixed), "fixed", &err) != SL_OK)
            goto out;
    } else if (sl_filter_parse(&f, "(|(cn=*a*)(l>=3))", &err) != SL_OK ||
               sl_ldif_read(&all, sl_bytes(data, size), "fuzz", &err) != SL_OK) {
        goto out;
    }
    if (sl_ldif_search(&found, &all, "dc=lab", "sub", f, 2, &err) == SL_OK)
        sl_entries_clear(&found);
out:
    free(text);
    sl_entries_clear(&all);
    return 0;
}
