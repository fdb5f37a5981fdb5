/*
 * Allocations of the code under test, counted and made to fail. Only for test programs whose head
 * comment says "CTEST: alloc": they are linked with wrappers around the allocator (the libraries'
 * own allocations are not touched).
 */
#ifndef SL_TEST_ALLOC_H
#define SL_TEST_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

/* Allocations that were not freed yet, of everything wrapped. */
long test_alloc_live(void);
/*
 * From now on, while test_alloc_armed(true), every allocation fails with this chance per mille, by a
 * sequence that the seed fixes; 0 ends it.
 */
void test_alloc_fail(unsigned per_mille, uint64_t seed);
void test_alloc_armed(bool on);
unsigned long test_alloc_failed(void); /* how many were made to fail */

#endif
