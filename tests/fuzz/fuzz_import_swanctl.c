/* The import of swanctl.conf; see import.h. */
#define FORM SL_IMPORT_SWANCTL
#include "fuzz/import.h"
