/* The import of ipsec.conf; see import.h. */
#define FORM SL_IMPORT_IPSEC
#include "fuzz/import.h"
