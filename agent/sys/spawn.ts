import { SysError } from "../../lib/sys/errno.js";
import { bindLazily } from "../../lib/sys/libc.js";

/**
 * Programs are started by posix_spawn(3), not by Node: it shares this process's memory with the child until exec, where a
 * fork would copy the page tables of the whole of Node, which is slow under emulation. It also leaves the children to our own
 * {@link import("../reaper.js").Reaper}: one place waits for children and orphans alike.
 */
const posixSpawn = bindLazily<
  (
    pid: Int32Array,
    path: string,
    actions: Uint8Array,
    attributes: Uint8Array,
    argv: (string | null)[],
    envp: (string | null)[],
  ) => number
>(
  "int posix_spawn(void *pid, const char *path, void *actions, void *attributes, const char **argv, const char **envp)",
);
const initActions = bindLazily<(actions: Uint8Array) => number>(
  "int posix_spawn_file_actions_init(void *actions)",
);
const addDup2 = bindLazily<(actions: Uint8Array, fd: number, target: number) => number>(
  "int posix_spawn_file_actions_adddup2(void *actions, int fd, int target)",
);
const destroyActions = bindLazily<(actions: Uint8Array) => number>(
  "int posix_spawn_file_actions_destroy(void *actions)",
);
const initAttributes = bindLazily<(attributes: Uint8Array) => number>(
  "int posix_spawnattr_init(void *attributes)",
);
const setFlags = bindLazily<(attributes: Uint8Array, flags: number) => number>(
  "int posix_spawnattr_setflags(void *attributes, int16_t flags)",
);
const setSignalDefaults = bindLazily<(attributes: Uint8Array, signals: Uint8Array) => number>(
  "int posix_spawnattr_setsigdefault(void *attributes, void *signals)",
);
const setSignalMask = bindLazily<(attributes: Uint8Array, signals: Uint8Array) => number>(
  "int posix_spawnattr_setsigmask(void *attributes, void *signals)",
);

const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;

// Sizes of glibc's structures on 64-bit machines, with room to spare: 80, 336 and 128 bytes.
const FILE_ACTIONS_BYTES = 128;
const ATTRIBUTES_BYTES = 512;
const SIGSET_BYTES = 128;

/** Descriptors of this process that become 0, 1 and 2 of the program. */
export type Stdio = readonly [stdin: number, stdout: number, stderr: number];

/**
 * Starts the program at the absolute `path` with all signals at their defaults and none blocked. Of our descriptors it gets
 * those in `stdio` and those that are not close-on-exec.
 *
 * @returns its process id; whoever starts it must see that it is waited for.
 * @throws SysError when it cannot be executed.
 */
export function spawn(path: string, args: readonly string[], env: readonly string[], stdio: Stdio): number {
  const pid = new Int32Array(1);
  const actions = new Uint8Array(FILE_ACTIONS_BYTES);
  succeed(initActions(actions), "posix_spawn_file_actions_init");
  try {
    for (const [target, fd] of stdio.entries()) {
      succeed(addDup2(actions, fd, target), "posix_spawn_file_actions_adddup2");
    }
    const error = posixSpawn(pid, path, actions, signalAttributes(), [path, ...args, null], [...env, null]);
    if (error !== 0) throw SysError.fromErrno(error, "posix_spawn", path);
  } finally {
    destroyActions(actions);
  }
  return pid[0] ?? -1;
}

/** Undoes what Node does to its own signals (it ignores SIGPIPE), which would otherwise be inherited. */
function signalAttributes(): Uint8Array {
  const attributes = new Uint8Array(ATTRIBUTES_BYTES);
  succeed(initAttributes(attributes), "posix_spawnattr_init");
  setSignalDefaults(attributes, new Uint8Array(SIGSET_BYTES).fill(0xff));
  setSignalMask(attributes, new Uint8Array(SIGSET_BYTES));
  setFlags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  return attributes;
}

/** These functions return the error number instead of setting errno. */
function succeed(error: number, call: string): void {
  if (error !== 0) throw SysError.fromErrno(error, call);
}
