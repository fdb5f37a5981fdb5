/*
 * Lists of names in one line of text, for refusals: "3DES or AES-CBC-128". What finds no room is left out
 * whole; there are no half names.
 */
#ifndef SL_SRC_IKE_WORDS_H
#define SL_SRC_IKE_WORDS_H

#include <stddef.h>

#define IKE_WORDS_MAX 320
struct ike_words { /* {0} is empty */
    char text[IKE_WORDS_MAX];
    size_t len;
};
void ike_words_add(struct ike_words *w, const char *between, const char *item);

#endif
