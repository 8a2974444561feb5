import assert from "node:assert/strict";
import { type ChildProcess, execFileSync } from "node:child_process";
import { once } from "node:events";
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { capabilityMask } from "../../lib/sys/capabilities.js";
import { Opcode } from "../fuse/constants.js";
import { connectGuest } from "../testing/connect-guest.js";
import { needsRoot } from "../testing/fixture.js";
import { cstring, ROOT, u32, u64 } from "../testing/test-guest.js";
import { innermostProcess, LaunchedProgram } from "./testing/launched.js";

const READY = "Waiting for vhost-user socket connection";
const KEPT = capabilityMask([
  ...(["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETGID", "SETUID", "MKNOD", "SETFCAP"] as const),
]);
const SIGSYS = 31;
/** Some user who is not root. */
const USER = 12_345;
const AS_USER = ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups", "--inh-caps=-all", "--"];
const SECCOMP_MODE_FILTER = "2";

interface Running {
  readonly launcher: ChildProcess;
  /** Of the daemon, in the host's pid namespace. */
  readonly pid: number;
  readonly socket: string;
  readonly shared: string;
}

describe("the daemon as its launcher starts it", { skip: needsRoot }, () => {
  const program = new LaunchedProgram("fsd/main.ts");
  let count = 0;
  after(() => program.remove());

  async function start(
    t: TestContext,
    args: readonly string[] = [],
    prefix: readonly string[] = [],
  ): Promise<Running> {
    const directory = join(program.directory, String(count++));
    const shared = join(directory, "shared");
    mkdirSync(shared, { recursive: true });
    writeFileSync(join(shared, "file"), "content");
    const socket = join(directory, "fs.sock");
    if (prefix.length > 0)
      for (const path of [directory, shared, join(shared, "file")]) chownSync(path, USER, USER);
    const launcher = program.start(["--socket-path", socket, "--shared-dir", shared, ...args], {
      prefix,
    });
    t.after(() => launcher.kill("SIGKILL"));
    let said = "";
    for await (const chunk of launcher.stderr?.iterator({ destroyOnReturn: false }) ?? []) {
      said += chunk;
      if (said.includes(READY)) break;
    }
    assert.ok(said.includes(READY), said);
    return { launcher, pid: innermostProcess(launcher.pid ?? 0), socket, shared };
  }

  it("has namespaces of its own, and so has each of its threads", async (t) => {
    const { pid } = await start(t);
    const threads = readdirSync(`/proc/${pid}/task`);
    assert.ok(threads.length > 1, "Node has several");
    for (const kind of ["mnt", "pid", "net", "ipc"]) {
      const own = readlinkSync(`/proc/${pid}/ns/${kind}`);
      assert.notEqual(own, readlinkSync(`/proc/self/ns/${kind}`));
      for (const thread of threads) assert.equal(readlinkSync(`/proc/${pid}/task/${thread}/ns/${kind}`), own);
    }
  });

  it("has few capabilities and a filter, and so has each of its threads", async (t) => {
    const { pid } = await start(t);
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const status = statusOf(`/proc/${pid}/task/${thread}/status`);
      const isMain = Number(thread) === pid;
      const kept = isMain ? KEPT : 0n;
      for (const set of ["CapEff", "CapPrm"]) assert.equal(BigInt(`0x${status.get(set)}`), kept, set);
      for (const set of ["CapInh", "CapAmb"]) assert.equal(BigInt(`0x${status.get(set)}`), 0n, set);
      if (isMain) assert.equal(BigInt(`0x${status.get("CapBnd")}`), 0n);
      assert.equal(status.get("NoNewPrivs"), "1");
      assert.equal(status.get("Seccomp"), SECCOMP_MODE_FILTER);
      assert.equal(status.get("Groups"), "");
    }
  });

  it("starts no thread for what takes long: those of the pool were there before the sandbox", async (t) => {
    const { pid, socket } = await start(t);
    const before = readdirSync(`/proc/${pid}/task`);
    const { guest, frontEnd } = connectGuest(socket);
    t.after(() => frontEnd.close());
    const fh = guest.open(guest.lookup(ROOT, "file").nodeId);
    guest.call(Opcode.FSYNC, ROOT, [u64(fh), u32(0, 0)]);
    assert.deepEqual(readdirSync(`/proc/${pid}/task`), before);
  });

  it("sees its directories, its descriptors, and nothing else", async (t) => {
    const { pid, shared } = await start(t);
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trim().split("\n").map(mountOf);
    assert.deepEqual(mounts.map(({ point }) => point).sort(), ["/", "/proc/self/fd", "/share/0"]);
    for (const { options } of mounts) {
      for (const option of ["nosuid", "nodev", "noexec"]) assert.ok(options.includes(option), option);
    }
    const share = mounts.find(({ point }) => point === "/share/0");
    assert.ok(share !== undefined && shared.endsWith(share.root.slice(share.root.lastIndexOf("/kata-fsd"))));
    assert.ok(share.options.includes("rw"));
  });

  it("cannot write to what is shared read-only, by a mount that says so", async (t) => {
    const { pid } = await start(t, ["--readonly"]);
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8").trim().split("\n").map(mountOf);
    for (const { options } of mounts) assert.ok(options.includes("ro"));
  });

  it("leaves no core, locks no memory, and queues no messages", async (t) => {
    const { pid } = await start(t);
    const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
    for (const name of [
      "core file size",
      "locked memory",
      "msgqueue size",
      "nice priority",
      "realtime priority",
    ]) {
      assert.match(limits, new RegExp(`^Max ${name} +0 +0 `, "m"));
    }
  });

  it("serves a guest, and its counters; the socket goes with it", async (t) => {
    const metrics = join(program.directory, "metrics.sock");
    const { launcher, socket, shared } = await start(t, ["--metrics-socket", metrics, "--xattr"]);
    const { frontEnd, guest } = connectGuest(socket);
    const { nodeId } = guest.lookup(ROOT, "file");
    assert.equal(guest.read(nodeId, guest.open(nodeId), 0, 100).toString(), "content");
    guest.call(Opcode.MKDIR, ROOT, [u32(0o2755, 0), cstring("directory")]);
    guest.call(Opcode.MKNOD, ROOT, [u32(0o020600, 0x103, 0, 0), cstring("device")]);
    guest.call(Opcode.SYMLINK, ROOT, [cstring("link"), cstring("/etc/passwd")]);
    guest.call(Opcode.SETXATTR, nodeId, [u32(5, 0), cstring("user.name"), Buffer.from("value")]);
    assert.deepEqual(readdirSync(shared).sort(), ["device", "directory", "file", "link"]);
    const text: string[] = [];
    for await (const chunk of connect(metrics).setEncoding("utf8")) text.push(chunk);
    assert.equal(JSON.parse(text.join("")).devices.length, 1);
    const exit = once(launcher, "exit");
    frontEnd.close();
    assert.deepEqual(await exit, [0, null]);
    assert.ok(!existsSync(socket));
    assert.ok(!existsSync(metrics));
  });

  it("leaves a socket alone that another daemon has put in its place", async (t) => {
    const { launcher, socket } = await start(t);
    rmSync(socket);
    const other = createServer().listen(socket);
    await once(other, "listening");
    const exit = once(launcher, "exit");
    launcher.kill("SIGTERM");
    assert.deepEqual(await exit, [0, null]);
    assert.ok(existsSync(socket));
    other.close();
  });

  it("serves a guest with the rights of a user who is not root, in a user namespace", async (t) => {
    const { pid, launcher, socket, shared } = await start(t, [], AS_USER);
    assert.notEqual(readlinkSync(`/proc/${pid}/ns/user`), readlinkSync("/proc/self/ns/user"));
    assert.equal(
      readFileSync(`/proc/${pid}/uid_map`, "utf8").trim().split(/\s+/).join(" "),
      `${USER} ${USER} 1`,
    );
    const { frontEnd, guest } = connectGuest(socket);
    guest.call(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring("directory")]);
    assert.equal(statSync(join(shared, "directory")).uid, USER);
    assert.equal(
      guest.send(Opcode.MKNOD, ROOT, [u32(0o020600, 0x103, 0, 0), cstring("device")]).error,
      "EPERM",
    );
    const exit = once(launcher, "exit");
    frontEnd.close();
    assert.deepEqual(await exit, [0, null]);
  });

  it("serves a guest in a chroot", async (t) => {
    const { launcher, socket, shared } = await start(t, ["--sandbox", "chroot", "--xattr"]);
    const { frontEnd, guest } = connectGuest(socket);
    // What the guest puts where procfs would be leads nowhere.
    const proc = guest.call(Opcode.MKDIR, ROOT, [u32(0o755, 0), cstring("proc")]);
    assert.ok(proc !== undefined);
    const { nodeId } = guest.lookup(ROOT, "file");
    assert.equal(guest.read(nodeId, guest.open(nodeId), 0, 100).toString(), "content");
    guest.call(Opcode.SETXATTR, nodeId, [u32(5, 0), cstring("user.name"), Buffer.from("value")]);
    assert.deepEqual(readdirSync(shared).sort(), ["file", "proc"]);
    const exit = once(launcher, "exit");
    frontEnd.close();
    assert.deepEqual(await exit, [0, null]);
  });

  it("sees what is mounted below its directory later, as the host mounted it", async (t) => {
    const directory = join(program.directory, "propagation");
    const below = join(directory, "below");
    mkdirSync(below, { recursive: true });
    // A host's root is shared as a rule; here the directory is made so.
    execFileSync("mount", ["--bind", directory, directory]);
    t.after(() => execFileSync("umount", ["--recursive", "--lazy", directory]));
    execFileSync("mount", ["--make-shared", directory]);
    const socket = join(program.directory, "propagation.sock");
    await start(t, ["--device", "--socket-path", socket, "--shared-dir", directory]);

    execFileSync("mount", ["-t", "tmpfs", "-o", "ro,nodev", "kata-fsd-test", below]);
    const { frontEnd, guest } = connectGuest(socket);
    const mkdirBelow = () => {
      const { nodeId } = guest.lookup(ROOT, "below");
      return guest.send(Opcode.MKDIR, nodeId, [u32(0o755, 0), cstring("new")]).error;
    };
    assert.equal(mkdirBelow(), "EROFS");
    execFileSync("umount", ["--lazy", below]);
    assert.ok(!existsSync(join(below, "new")));
    mkdirBelow();
    assert.ok(existsSync(join(below, "new")));
    frontEnd.close();
  });

  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    it(`ends with its launcher at ${signal}, and the socket goes`, async (t) => {
      const { launcher, pid, socket } = await start(t);
      const exit = once(launcher, "exit");
      launcher.kill(signal);
      assert.deepEqual(await exit, [0, null]);
      await untilEnded(pid);
      assert.ok(!existsSync(socket));
    });
  }

  it("ends with its launcher when that is killed", async (t) => {
    const { launcher, pid } = await start(t);
    launcher.kill("SIGKILL");
    await untilEnded(pid);
  });

  it("is seen to end by a signal when it is not started anew", async (t) => {
    const { launcher, pid } = await start(t);
    const exit = once(launcher, "exit");
    process.kill(pid, SIGSYS);
    assert.deepEqual(await exit, [null, "SIGSYS"]);
  });

  it("refuses what is not possible, in one line", () => {
    const theirs = join(program.directory, "theirs");
    mkdirSync(theirs);
    chownSync(theirs, USER, USER);
    const args = ["--socket-path", join(program.directory, "no.sock"), "--shared-dir", program.directory];
    const cases: [string[], string[], RegExp][] = [
      [
        AS_USER,
        ["--sandbox", "chroot", "--socket-path", join(theirs, "s")],
        /^kata-fsd: error: chroot [^\n]+: EPERM\n$/,
      ],
      [[], ["--modcaps", "+fly"], /^kata-fsd: error: --modcaps: there is no capability FLY\n$/],
      [
        [],
        ["--sandbox", "chroot", "--device", "--socket-path", "b.sock", "--shared-dir", "/usr"],
        /^kata-fsd: error: --sandbox=chroot: one shared directory is possible, not 2; use --sandbox=namespace\n$/,
      ],
    ];
    for (const [prefix, more, expected] of cases) {
      const { status, stderr } = program.run([...args, ...more], { prefix });
      assert.match(stderr, expected);
      assert.equal(status, 1);
    }
  });
});

function statusOf(path: string): Map<string, string> {
  const lines = readFileSync(path, "latin1").trim().split("\n");
  return new Map(
    lines.map((line): [string, string] => {
      const [name = "", ...value] = line.split(":");
      return [name, value.join(":").trim()];
    }),
  );
}

/** A line of mountinfo: proc_pid_mountinfo(5). */
function mountOf(line: string) {
  const [, , , root = "", point = "", options = ""] = line.split(" ");
  return { root, point, options: options.split(",") };
}

/** Until the kernel has ended a process, which no one waits for here. */
async function untilEnded(pid: number): Promise<void> {
  while (existsSync(`/proc/${pid}/exe`) && isAlive(pid)) await sleep(10);
}

function isAlive(pid: number): boolean {
  try {
    readlinkSync(`/proc/${pid}/exe`);
    return true;
  } catch {
    // Ended, or a zombie.
    return false;
  }
}
