import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { removeCgroup } from "../../lib/cgroup/cgroup.js";
import { callUnary, createClient, type TtrpcClient } from "../../lib/ttrpc/index.js";

const GUEST_ROOT = join(process.env["KATA_FS_DIR"] || "/opt/kata-fs", "guest/root");
const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));

/**
 * A machine of its own as far as the agent can tell: cgroup v2 alone, and /run for its state. Everything mounted here, and
 * every process started here, ends with the agent, which is PID 1.
 */
const PREPARE = `
  mount -t proc proc /proc && mount -t tmpfs tmpfs /run || exit 1
  umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
  exec "$@"
`;

/** Why tests with a running agent cannot be done here; false when they can. */
export function missing(): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  if (!existsSync(join(GUEST_ROOT, "usr/bin/crun")))
    return `needs the guest directory ${GUEST_ROOT} (npm start)`;
  return false;
}

/** The agent in namespaces of its own, answering on a UNIX socket. */
export class AgentProcess {
  #containers = 0;

  private constructor(
    /** A directory that the agent sees as well, removed at the end. */
    readonly directory: string,
    private readonly child: ChildProcess,
    private readonly client: TtrpcClient,
  ) {}

  /** Resolves once the agent listens. */
  static async start(): Promise<AgentProcess> {
    const directory = mkdtempSync(join(tmpdir(), "agent-test-"));
    mkdirSync(join(directory, "rootfs/bin"), { recursive: true });
    copyFileSync(join(GUEST_ROOT, "usr/bin/busybox"), join(directory, "rootfs/bin/busybox"));
    const crun = join(directory, "crun");
    writeFileSync(crun, `#!/bin/sh\nexec ${withGuestLoader("usr/bin/crun")} "$@"\n`, { mode: 0o755 });
    const socketPath = join(directory, "agent.sock");
    const child = spawn(
      "unshare",
      [
        ...[
          "--mount",
          "--pid",
          "--ipc",
          "--uts",
          "--net",
          "--fork",
          "--kill-child",
          "--propagation",
          "private",
        ],
        ...["sh", "-c", PREPARE, "sh", process.execPath, "--import", "tsx", MAIN],
        ...[
          `agent.server_addr=unix://${socketPath}`,
          `agent.oci_runtime=${crun}`,
          "agent.log=warn",
          "agent.debug_console",
        ],
      ],
      // Its log goes where this process complains.
      { stdio: ["ignore", 2, 2] },
    );
    return new AgentProcess(directory, child, createClient(await connectTo(socketPath, child)));
  }

  /** A new connection to its debug console. */
  connectDebugConsole(): Promise<Socket> {
    return connectTo(join(this.directory, "agent.sock_1026"), this.child);
  }

  /** A root file system with busybox at /bin/busybox. */
  get rootfs(): string {
    return join(this.directory, "rootfs");
  }

  /** An id for a container that no other agent on this machine uses: they share a hierarchy of cgroups. */
  newId(): string {
    return `${basename(this.directory)}-${++this.#containers}`;
  }

  /** Runs a program in the agent's network namespace. @returns what it prints */
  inNetwork(...words: readonly string[]): string {
    return execFileSync("nsenter", ["--net", "--target", `${this.child.pid}`, ...words], {
      encoding: "utf8",
    });
  }

  /** Calls a method of grpc.AgentService. */
  call<I, O>(
    method: string,
    input: { encode(message: I): { finish(): Uint8Array } },
    output: { decode(bytes: Uint8Array): O },
    request: I,
  ): Promise<O> {
    return callUnary(this.client, "grpc.AgentService", method, input, output, request, { timeoutMs: 20_000 });
  }

  /** Ends it and everything it started. */
  async stop(): Promise<void> {
    this.client.close();
    if (this.child.exitCode === null) {
      const exited = once(this.child, "exit");
      this.child.kill("SIGKILL");
      await exited;
    }
    rmSync(this.directory, { recursive: true, force: true });
    for (const directory of cgroupsNamed(basename(this.directory)))
      await removeCgroup(directory, END_LIMIT_MS);
  }
}

const END_LIMIT_MS = 5_000;

/** Of containers that a test that failed did not remove. */
function cgroupsNamed(prefix: string): string[] {
  const mounts = readFileSync("/proc/self/mounts", "utf8").matchAll(/^\S+ (\S+) cgroup2 /gm);
  return [...mounts].flatMap(([, mountPoint = ""]) =>
    readdirSync(mountPoint)
      .filter((name) => name.startsWith(prefix))
      .map((name) => join(mountPoint, name)),
  );
}

function withGuestLoader(program: string): string {
  const lib = join(GUEST_ROOT, "usr/lib/x86_64-linux-gnu");
  return `${lib}/ld-linux-x86-64.so.2 --library-path ${lib} ${join(GUEST_ROOT, program)}`;
}

const START_LIMIT_MS = 20_000;

async function connectTo(socketPath: string, child: ChildProcess): Promise<Socket> {
  const deadline = Date.now() + START_LIMIT_MS;
  for (;;) {
    const socket = connect(socketPath);
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      if (child.exitCode !== null || Date.now() > deadline) throw error;
    }
    await delay(20);
  }
}
