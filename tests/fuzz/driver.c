/*
 * Runs a fuzz target without libFuzzer: every file of the corpus folders given, whole and truncated
 * at every byte (every length up to 4096), so that any compiler checks the readers in each test run.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(2);
    }
    static uint8_t all[1 << 20];
    size_t n = fread(all, 1, sizeof(all), f);
    fclose(f);
    unsigned long runs = 0;
    for (size_t len = 0; len <= n; len = len < 4096 || len == n ? len + 1 : n) {
        uint8_t *exact = malloc(len ? len : 1); /* so that a sanitizer sees one byte too many */
        if (!exact)
            exit(2);
        memcpy(exact, all, len);
        LLVMFuzzerTestOneInput(exact, len);
        free(exact);
        runs++;
    }
    return runs;
}

int main(int argc, char **argv)
{
    unsigned long files = 0, runs = 0;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (!d) {
            perror(argv[i]);
            return 2;
        }
        for (struct dirent *e; (e = readdir(d));) {
            if (e->d_name[0] == '.')
                continue;
            char path[4096];
            snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name);
            runs += run_file(path);
            files++;
        }
        closedir(d);
    }
    printf("%lu corpus files, %lu inputs\n", files, runs);
    return files ? 0 : 1; /* a target without a corpus is not tested */
}
