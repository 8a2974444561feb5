import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { connectUnix } from "../../lib/sys/unix-socket.js";
import { TestFrontEnd } from "../../lib/vhost-user/testing/test-front-end.js";
import type { TestTools } from "../../setup/toolchain.js";
import { cpuSecondsOf, processTree } from "../process-tree.js";
import { Guest } from "./guest.js";
import { RequestRing } from "./request-ring.js";

const KATA_FSD = fileURLToPath(new URL("../../dist/bin/kata-fsd", import.meta.url));
const START_LIMIT_MS = 20_000;
const END_LIMIT_MS = 10_000;
const QUEUE = { count: 2, requests: 1, size: 1024 } as const;
const MEMORY_BYTES = 16 << 20;

/** What a row is measured with: a daemon, with options. */
export interface SubjectDescription {
  readonly name: string;
  /** Refuses changes: rows that make some are left out. */
  readonly isReadOnly: boolean;
  argv(socket: string, share: string): readonly string[];
}

/** virtiofsd as it is packaged, and kata-fsd with each policy that an export can have. Both confine themselves as they do anywhere. */
export function subjectDescriptions({ argv }: TestTools["virtiofsd"]): SubjectDescription[] {
  const kataFsd = (policy: string): SubjectDescription => ({
    name: policy,
    isReadOnly: policy === "immutable",
    argv: (socket, share) => [
      KATA_FSD,
      `--socket-path=${socket}`,
      `--shared-dir=${share}`,
      "--xattr",
      `--export=/:${policy}`,
      "--log-level=warn",
    ],
  });
  return [
    {
      name: "virtiofsd",
      isReadOnly: false,
      argv: (socket, share) => [
        ...argv,
        `--socket-path=${socket}`,
        `--shared-dir=${share}`,
        "--xattr",
        "--cache=auto",
        "--announce-submounts",
        "--log-level=error",
      ],
    },
    ...["shared", "exclusive", "immutable"].map(kataFsd),
  ];
}

/** A running daemon with its guest. */
export class Subject {
  private constructor(
    readonly name: string,
    readonly isReadOnly: boolean,
    readonly guest: Guest,
    readonly ring: RequestRing,
    private readonly frontEnd: TestFrontEnd,
    private readonly process: ChildProcess,
  ) {}

  /**
   * Starts a daemon, on one processor if that is given, and a front end for it.
   * @throws Error if it does not come up
   */
  static async start(
    description: SubjectDescription,
    share: string,
    directory: string,
    processor: number | undefined,
  ): Promise<Subject> {
    const socket = join(directory, `${description.name}.sock`);
    const prefix = processor === undefined ? [] : ["taskset", "-c", String(processor)];
    const [file = "", ...words] = [...prefix, ...description.argv(socket, share)];
    const daemon = spawn(file, words, { stdio: ["ignore", "ignore", "inherit"] });
    const deadlineMs = performance.now() + START_LIMIT_MS;
    while (!existsSync(socket)) {
      if (daemon.exitCode !== null || performance.now() > deadlineMs) {
        daemon.kill();
        throw new Error(`${description.name} does not start`);
      }
      await delay(20);
    }
    // virtiofsd binds its socket some time before it listens.
    await delay(200);
    const frontEnd = new TestFrontEnd(connectUnix(socket), pause, {
      queueCount: QUEUE.count,
      queueSize: QUEUE.size,
      memoryBytes: MEMORY_BYTES,
    });
    frontEnd.start();
    const ring = new RequestRing(frontEnd, QUEUE.requests);
    const guest = new Guest(ring);
    guest.init();
    return new Subject(description.name, description.isReadOnly, guest, ring, frontEnd, daemon);
  }

  get processes(): readonly number[] {
    return processTree(this.process.pid ?? -1);
  }

  /** Processor time that the daemon has used, all processes and threads of it, in seconds. */
  get cpuSeconds(): number {
    return cpuSecondsOf(this.processes);
  }

  /** The daemon ends when its front end is gone. */
  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.frontEnd.close();
    if (this.process.exitCode !== null) return;
    const timer = setTimeout(() => this.process.kill("SIGKILL"), END_LIMIT_MS);
    await ended;
    clearTimeout(timer);
  }
}

const sleepCell = new Int32Array(new SharedArrayBuffer(4));

/** The other side works in a process of its own. */
function pause(): void {
  Atomics.wait(sleepCell, 0, 0, 1);
}
