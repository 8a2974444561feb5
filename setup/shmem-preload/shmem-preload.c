/*
 * Preloaded into QEMU 11.1: lets a vhost-user back end hand it read-only file descriptors for shared memory regions.
 *
 * For a VHOST_USER_BACKEND_SHMEM_MAP message QEMU 11.1 maps the descriptor that came with it PROT_READ|PROT_WRITE, whatever
 * the message's flags say, and refuses a range that reaches past the end of the file. A descriptor that was opened O_RDONLY
 * can therefore never be mapped, and one that was opened O_RDWR must not be handed out for a file that others share. This
 * library changes both, for marked descriptors and no others:
 *
 *   mmap, mmap64     a shared mapping of a marked descriptor is made without PROT_WRITE
 *   lseek, lseek64   SEEK_END of a marked descriptor reports a size that no range exceeds
 *
 * A descriptor is marked when it is open O_RDONLY and its F_SETSIG signal is MARK_SIGNAL. The kernel keeps that signal with
 * the open file description, so the mark travels with the descriptor over a UNIX socket; setting it needs no privilege, and
 * QEMU sets it nowhere. The back end sets it with fcntl(fd, F_SETSIG, 61).
 *
 * With the emulator TCG it mends one thing more. When a region is unmapped, QEMU 11.1 forgets the memory but not the code that
 * it had translated from there, and finds that code again when another region gets the same place: the guest then runs what
 * the earlier file had. After the first map of a marked descriptor this library is told by QEMU of each region that goes, and
 * has QEMU forget the translated code, too.
 *
 * That maps are read-only is enforced by the kernel: memory mapped so cannot be written through, by the guest or by anyone
 * else. A page past the end of the file raises SIGBUS when it is touched, as mmap(2) says.
 *
 * Build: cc -O2 -fPIC -shared -o shmem-preload.so shmem-preload.c
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { MARK_SIGNAL = 61 };

/* More than the size of any file system's largest file that could be mapped, and far from overflowing an addition. */
#define SIZE_BEYOND_ANY_RANGE ((off64_t)1 << 62)

_Static_assert(sizeof(off_t) == sizeof(off64_t), "off_t has 64 bits on every host that QEMU 11.1 supports");

typedef void *mmap_function(void *, size_t, int, int, int, off64_t);
typedef off64_t lseek_function(int, off64_t, int);

static mmap_function *next_mmap;
static lseek_function *next_lseek;

/* Both are resolved before main, while there is one thread; a constructor of another library may call in still earlier. */
__attribute__((constructor)) static void resolve(void)
{
    if (!next_mmap)
        next_mmap = (mmap_function *)dlsym(RTLD_NEXT, "mmap64");
    if (!next_lseek)
        next_lseek = (lseek_function *)dlsym(RTLD_NEXT, "lseek64");
    if (!next_mmap || !next_lseek)
        abort();
}

/* QEMU's own functions, which its program file exports for its modules. A QEMU without TCG has no tb_invalidate_phys_range. */
struct ram_block_notifier {
    void (*added)(struct ram_block_notifier *, void *host, size_t size, size_t max_size);
    void (*removed)(struct ram_block_notifier *, void *host, size_t size, size_t max_size);
    void (*resized)(struct ram_block_notifier *, void *host, size_t old_size, size_t new_size);
    struct {
        struct ram_block_notifier *next, **previous;
    } list;
};
typedef void ram_block_notifier_add_function(struct ram_block_notifier *);
typedef uint64_t qemu_ram_addr_from_host_function(void *host);
typedef void tb_invalidate_phys_range_function(void *cpu, uint64_t first, uint64_t last);

static const uint64_t RAM_ADDR_INVALID = ~(uint64_t)0;

static qemu_ram_addr_from_host_function *ram_addr_from_host;
static tb_invalidate_phys_range_function *invalidate_code;

/* Called by QEMU in its main thread, while the region is still known. */
static void forget_code(struct ram_block_notifier *notifier, void *host, size_t size, size_t max_size)
{
    uint64_t first = ram_addr_from_host(host);

    (void)notifier;
    (void)size;
    if (first != RAM_ADDR_INVALID && max_size > 0)
        invalidate_code(NULL, first, first + max_size - 1);
}

/* At the first map, not before: QEMU's lists are set up by then, and its lock is held. */
static void watch_regions(void)
{
    static struct ram_block_notifier notifier = {.removed = forget_code};
    static int watching;
    ram_block_notifier_add_function *add;

    if (watching)
        return;
    watching = 1;
    add = (ram_block_notifier_add_function *)dlsym(RTLD_DEFAULT, "ram_block_notifier_add");
    ram_addr_from_host = (qemu_ram_addr_from_host_function *)dlsym(RTLD_DEFAULT, "qemu_ram_addr_from_host");
    invalidate_code = (tb_invalidate_phys_range_function *)dlsym(RTLD_DEFAULT, "tb_invalidate_phys_range");
    if (add && ram_addr_from_host && invalidate_code)
        add(&notifier);
}

/* Leaves errno as it was: the functions below must not change it where the originals would not. */
static int is_marked(int fd)
{
    int saved_errno = errno;
    int flags = fcntl(fd, F_GETFL);
    int marked = flags >= 0 && (flags & O_ACCMODE) == O_RDONLY && fcntl(fd, F_GETSIG) == MARK_SIGNAL;

    errno = saved_errno;
    return marked;
}

EXPORT void *mmap64(void *address, size_t length, int protection, int flags, int fd, off64_t offset)
{
    if (!next_mmap)
        resolve();
    if ((flags & MAP_SHARED) && !(flags & MAP_ANONYMOUS) && (protection & PROT_WRITE) && is_marked(fd)) {
        protection &= ~PROT_WRITE;
        watch_regions();
    }
    return next_mmap(address, length, protection, flags, fd, offset);
}

EXPORT void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return mmap64(address, length, protection, flags, fd, offset);
}

EXPORT off64_t lseek64(int fd, off64_t offset, int whence)
{
    off64_t position;

    if (!next_lseek)
        resolve();
    position = next_lseek(fd, offset, whence);
    if (whence == SEEK_END && position >= 0 && is_marked(fd))
        return SIZE_BEYOND_ANY_RANGE;
    return position;
}

EXPORT off_t lseek(int fd, off_t offset, int whence)
{
    return lseek64(fd, offset, whence);
}
