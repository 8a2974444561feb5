import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, closeSync, copyFileSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { AT_FDCWD } from "../../lib/sys/file.js";
import { addressOf, bind, check } from "../../lib/sys/libc.js";
import { needsRoot } from "../testing/fixture.js";
import type { Outside } from "./testing/attempts.js";
import { LaunchedProgram } from "./testing/launched.js";

/** What is in the way in a namespace of its own, with few capabilities, even if no system call were filtered. */
const NAMESPACE: Readonly<Record<string, string>> = {
  "read a file of the host by its path": "ENOENT",
  "read it by .. from a shared directory": "ENOENT",
  "read it by .. from the directory of descriptors": "ENOENT",
  "read it by a directory that was open before": "EBADF",
  "read it by a process's root": "ENOENT",
  "read it by a file handle": "EPERM",
  "change the root": "EPERM",
  "mount a file system": "EPERM",
  "make a read-only mount writable": "EPERM",
  "write to a read-only directory": "EROFS",
  "write beside the shared directories": "EROFS",
  "make a mount namespace": "EPERM",
  "enter another mount namespace": "EPERM",
  "make a device and open it": "EACCES",
  "see a process of the host": "ENOENT",
  "signal a process of the host": "ESRCH",
  "trace a process of the host": "ESRCH",
  "read a process's memory": "ESRCH",
  "connect to the host's network": "ENETUNREACH",
  "connect to an abstract socket of the host": "ECONNREFUSED",
  "connect to a socket of the host by its path": "ENOENT",
  "open a message queue of the host": "ENOENT",
  "run a program of the host": "ENOENT",
  "run a program that the guest has written": "EACCES",
  "take capabilities back": "EPERM",
  "raise a limit": "EPERM",
  "list the root": "ENOENT",
  "read what is above the root": "EPERM",
};

/**
 * A chroot has no namespaces: processes, networks and queues of the host are in sight, its root is the shared directory, and that is
 * mounted as the host has it. The filter of system calls closes some of these.
 */
const CHROOT_LEAVES_OPEN = [
  "write to a read-only directory",
  "write beside the shared directories",
  "make a device and open it",
  "signal a process of the host",
  "connect to the host's network",
  "connect to an abstract socket of the host",
  "open a message queue of the host",
  "list the root",
];

/** System calls with arguments, one for each kind that the filter has. The program is killed, whatever the call would have led to. */
const FORBIDDEN_CALLS: readonly (readonly [what: string, name: string | number, ...args: number[]])[] = [
  ["execve", "execve"],
  ["fork, by clone with SIGCHLD", "clone", 17],
  ["clone for a user namespace", "clone", 0x1000_0011],
  ["ptrace", "ptrace"],
  ["kill", "kill", 1, 0],
  ["tgkill of another process", "tgkill", 1, 1, 0],
  ["process_vm_readv", "process_vm_readv"],
  ["socket", "socket", 1, 1, 0],
  ["connect", "connect", 0, 0, 0],
  ["sendto with an address", "sendto", 0, 0, 0, 0, 1],
  ["mount", "mount"],
  ["unshare", "unshare", 0],
  ["setns", "setns", 0, 0],
  ["chroot", "chroot", 0],
  ["bpf", "bpf"],
  ["io_uring_setup", "io_uring_setup"],
  ["keyctl", "keyctl"],
  ["userfaultfd", "userfaultfd"],
  ["perf_event_open", "perf_event_open"],
  ["seccomp", "seccomp"],
  ["setresuid", "setresuid", 0, 0, 0],
  ["prlimit with a new limit", "prlimit64", 0, 4, 1, 0],
  ["prctl(PR_SET_DUMPABLE)", "prctl", 4, 1],
  ["ioctl(TIOCSTI)", "ioctl", 0, 0x5412],
  ["fcntl(F_SETOWN)", "fcntl", 0, 8, 1],
  ["mmap of a file to be run", "mmap", 0, 4096, 5, 2, 0],
  ...(process.arch === "x64" ? [["getpid of x32", 0x4000_0027] as const] : []),
];

const HARMLESS_CALLS: readonly (readonly [words: readonly (string | number)[], answer: string])[] = [
  [["clone3"], "clone3: ENOSYS"],
  [["ioctl", 0, 0x5401], "ioctl: ENOTTY"],
];

const MESSAGE_QUEUE_KEY = 0x6b66_7364;

describe("a daemon that a guest has taken over", { skip: needsRoot }, () => {
  const probe = new LaunchedProgram("fsd/sandbox/testing/probe.ts");
  const at = (name: string) => join(probe.directory, name);
  const [writable, readOnly] = [at("writable"), at("readonly")];
  const options = [
    ...["--socket-path", at("a.sock"), "--shared-dir", writable],
    ...["--device", "--socket-path", at("b.sock"), "--shared-dir", readOnly, "--readonly"],
  ];
  const victim = spawn("sleep", ["600"], { stdio: "ignore" });
  const servers: Server[] = [];
  const descriptors = [openSync("/", 0), openSync("/proc/self/ns/mnt", 0)];
  let abstractFd = -1;
  let messageQueue = "";
  let outside: Outside;

  before(async () => {
    for (const directory of [writable, readOnly]) mkdirSync(directory);
    writeFileSync(at("secret"), "secret", { mode: 0o600 });
    copyFileSync("/bin/true", join(writable, "program"));
    chmodSync(join(writable, "program"), 0o755);
    const listen = async (where: string | number) => {
      const server = createServer((socket) => socket.destroy());
      servers.push(server);
      if (typeof where === "number") server.listen(where, "127.0.0.1");
      else server.listen(where);
      await once(server, "listening");
      const address = server.address();
      return typeof address === "object" ? (address?.port ?? 0) : 0;
    };
    const tcpPort = await listen(0);
    const abstractSocket = `kata-fsd-test-${process.pid}`;
    abstractFd = listenAbstract(abstractSocket);
    const unixSocket = at("host.sock");
    await listen(unixSocket);
    messageQueue = makeMessageQueue(MESSAGE_QUEUE_KEY);
    outside = {
      ...{ secret: at("secret"), secretHandle: handleOf(at("secret")), pid: victim.pid ?? 0 },
      ...{ tcpPort, abstractSocket, unixSocket, messageQueueKey: MESSAGE_QUEUE_KEY },
      ...{ rootFd: 3, namespaceFd: 4 },
    };
  });

  after(() => {
    victim.kill();
    for (const server of servers) server.close();
    for (const fd of [...descriptors, abstractFd]) closeSync(fd);
    if (messageQueue !== "") execFileSync("ipcrm", ["-q", messageQueue]);
    probe.remove();
  });

  function outcomes(
    args: readonly string[],
    env: Record<string, string> = {},
    prefix: readonly string[] = [],
  ) {
    const { stdout, stderr, status } = probe.run([...options, ...args], {
      env: { KATA_FSD_PROBE_OUTSIDE: JSON.stringify(outside), ...env },
      descriptors,
      prefix,
    });
    assert.equal(status, 0, stderr);
    return JSON.parse(stdout);
  }

  it("finds every way out open without the sandbox", () => {
    const script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"';
    const prefix = ["unshare", "--mount", "sh", "-c", script, readOnly];
    const found = outcomes(["--sandbox", "none"], { KATA_FSD_PROBE_CONTROL: "1" }, prefix);
    assert.deepEqual(found, Object.fromEntries(Object.keys(NAMESPACE).map((name) => [name, "out"])));
  });

  it("finds every way out closed by namespaces, root directory and capabilities alone", () => {
    assert.deepEqual(outcomes(["--seccomp", "none"]), NAMESPACE);
  });

  it("finds files and privileges of the host closed in a chroot", () => {
    const { stdout, stderr, status } = probe.run(
      ["--socket-path", at("a.sock"), "--shared-dir", writable, "--sandbox", "chroot", "--seccomp", "none"],
      { env: { KATA_FSD_PROBE_OUTSIDE: JSON.stringify(outside) }, descriptors },
    );
    assert.equal(status, 0, stderr);
    const found = JSON.parse(stdout);
    const closed = Object.keys(NAMESPACE).filter((name) => found[name] !== "out");
    assert.deepEqual(
      Object.keys(NAMESPACE).filter((name) => !closed.includes(name)),
      CHROOT_LEAVES_OPEN,
    );
  });

  for (const [what, ...words] of FORBIDDEN_CALLS) {
    it(`is killed when it calls ${what}`, () => {
      const { stdout, signal } = probe.run(options, { env: { KATA_FSD_PROBE_CALL: JSON.stringify(words) } });
      assert.deepEqual({ stdout, signal }, { stdout: "", signal: "SIGSYS" });
    });
  }

  it("gets an error from what Node and the C library try", () => {
    for (const [words, answer] of HARMLESS_CALLS) {
      const { stdout, signal } = probe.run(options, { env: { KATA_FSD_PROBE_CALL: JSON.stringify(words) } });
      assert.deepEqual({ stdout, signal }, { stdout: answer, signal: null });
    }
  });

  it("lives on after a forbidden call with --seccomp=log, and without a filter", () => {
    for (const action of ["log", "none"]) {
      const { stdout } = probe.run([...options, "--seccomp", action], {
        env: { KATA_FSD_PROBE_CALL: JSON.stringify(["ptrace", -1]) },
      });
      assert.equal(stdout, "ptrace: ESRCH");
    }
  });
});

/** @returns the id of a System V message queue with that key */
function makeMessageQueue(key: number): string {
  const msgget = bind<(key: number, flags: number) => number>("int msgget(int key, int flags)");
  const IPC_CREAT = 0o1000;
  return String(check(msgget(key, IPC_CREAT | 0o666), "msgget"));
}

/** A listening UNIX socket whose name is not in the file system. Node pads such names, depending on its version. */
function listenAbstract(name: string): number {
  const socket = bind<(family: number, type: number, protocol: number) => number>(
    "int socket(int f, int t, int p)",
  );
  const bindTo = bind<(fd: number, address: number, length: number) => number>(
    "int bind(int fd, uintptr_t address, uint32_t length)",
  );
  const listen = bind<(fd: number, backlog: number) => number>("int listen(int fd, int backlog)");
  const [AF_UNIX, SOCK_STREAM, SOCK_CLOEXEC] = [1, 1, 0o2000000];
  const address = Buffer.concat([Buffer.from([AF_UNIX, 0, 0]), Buffer.from(name)]);
  const fd = check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  check(bindTo(fd, addressOf(address), address.length), "bind");
  check(listen(fd, 8), "listen");
  return fd;
}

/** struct file_handle of a file, in base64. */
function handleOf(path: string): string {
  const nameToHandle = bind<
    (dir: number, path: string, handle: number, mount: number, flags: number) => number
  >("int name_to_handle_at(int dir, const char *path, uintptr_t handle, uintptr_t mount, int flags)");
  const MAX_HANDLE_BYTES = 128;
  const handle = Buffer.alloc(8 + MAX_HANDLE_BYTES);
  handle.writeUInt32LE(MAX_HANDLE_BYTES, 0);
  check(
    nameToHandle(AT_FDCWD, path, addressOf(handle), addressOf(new Uint32Array(1)), 0),
    "name_to_handle_at",
  );
  return handle.toString("base64");
}
