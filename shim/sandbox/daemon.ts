import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createConnection } from "node:net";
import { isAbsolute } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { Duplex, Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { DaemonConfiguration } from "../../configs/index.js";
import { writeFileAtomically } from "../address.js";
import { messageOf, ShimError, StatusCode } from "../error.js";
import type { Logger } from "../log/logger.js";
import type { DaemonUpgrade } from "../task/sandbox-port.js";
import { timeLimitMs } from "../time-limits.js";
import { TailBuffer } from "../vm/console.js";
import { endingWithUs } from "./child.js";
import { type SandboxLayout, Tags } from "./layout.js";
import type { OverlayBroker } from "./overlay-broker.js";

const STDERR_BYTES = 4096;
const STDERR_LINES_TOLD = 3;

/** Printed for each device when its socket can be connected to. */
const READY = /Waiting for vhost-user socket connection/;
/** Printed by the launcher when a worker was killed and another one is to go on. */
const RESTART = /^kata-fsd: the worker was ended by .*; restart (\d+)$/;
/** Printed by a worker that has taken another one's place, and by the launcher when one has not. */
const UPGRADED = /^kata-fsd: version (\S+) took over after ([\d.]+) ms$/;
const NOT_UPGRADED = /^kata-fsd: .* did not come up, .* goes on$/;
/** The daemon's side of the socket to the {@link OverlayBroker}: the first descriptor behind stderr. */
const BROKER_FD = 3;

/** kata-fsd, serving the sandbox's shares, and the guest's root where that is a directory. */
export class FsDaemon {
  /** Resolves when the daemon has ended, with what it said last. */
  readonly ended: Promise<ShimError>;
  #restarts = 0;
  /** The upgrade that is under way. */
  #upgrade: { resolve(upgrade: DaemonUpgrade): void; reject(error: ShimError): void } | undefined;

  private constructor(
    private readonly child: ChildProcess,
    readonly pid: number,
    private readonly stderr: TailBuffer,
    private readonly layout: SandboxLayout,
    lines: Interface,
    private readonly logger: Logger,
  ) {
    this.ended = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        const error = this.#describeEnd(code, signal);
        this.#upgrade?.reject(error);
        resolve(error);
      });
    });
    lines.on("line", (line) => this.#hear(line));
  }

  /**
   * Starts the daemon and waits until it listens for each of its devices.
   *
   * @param guestRoot the directory that is the guest's root; undefined for a guest that has it elsewhere
   * @throws ShimError UNAVAILABLE when it cannot be started, ends, or does not listen in time
   */
  static async start(
    configuration: DaemonConfiguration,
    guestRoot: string | undefined,
    layout: SandboxLayout,
    broker: OverlayBroker,
    logger: Logger,
  ): Promise<FsDaemon> {
    const command = [daemonProgram(configuration), ...daemonArguments(configuration, guestRoot, layout)];
    const [file = "", ...args] = endingWithUs(command);
    const child = spawn(file, args, {
      stdio: ["ignore", "ignore", "pipe", "pipe"],
      env: environment(layout),
    });
    const brokerSocket = child.stdio[BROKER_FD];
    if (brokerSocket instanceof Duplex) broker.serve(brokerSocket);
    const stderr = new TailBuffer(STDERR_BYTES);
    // There is none of a process that could not be started, which untilReady tells.
    const lines = createInterface({ input: child.stderr ?? Readable.from([]) });
    lines.on("line", (line) => {
      stderr.append(Buffer.from(`${line}\n`));
      logger.debug(line);
    });
    const ready = untilReady(child, guestRoot === undefined ? 2 : 3, lines);
    const { pid } = child;
    if (pid === undefined) {
      await ready;
      throw new ShimError(StatusCode.UNAVAILABLE, "kata-fsd was not started");
    }
    const daemon = new FsDaemon(child, pid, stderr, layout, lines, logger);
    const limit = new AbortController();
    const timeout = setTimeout(() => limit.abort(), timeLimitMs("daemonStartSeconds"));
    try {
      const outcome = await Promise.race([ready, daemon.ended, aborted(limit.signal)]);
      if (outcome !== undefined) throw outcome;
      return daemon;
    } catch (error) {
      await daemon.stop();
      throw error;
    } finally {
      clearTimeout(timeout);
    }
  }

  /** How often a worker was killed and another one went on. */
  get restarts(): number {
    return this.#restarts;
  }

  /**
   * Puts another build in the place of the one that serves.
   * @param build an absolute path of a fsd.cjs
   * @throws ShimError ABORTED when it does not come up: the one before goes on. FAILED_PRECONDITION while another upgrade is under way, or
   * without that file
   */
  async upgrade(build: string): Promise<DaemonUpgrade> {
    if (this.#upgrade !== undefined)
      throw new ShimError(StatusCode.FAILED_PRECONDITION, "kata-fsd is being upgraded");
    if (!isAbsolute(build) || !existsSync(build))
      throw new ShimError(StatusCode.FAILED_PRECONDITION, `${build} is no build of kata-fsd`);
    writeFileAtomically(this.layout.daemonBuild, `${build}\n`);
    const limitMs = timeLimitMs("daemonStartSeconds");
    let timeout: NodeJS.Timeout | undefined;
    try {
      return await new Promise((resolve, reject) => {
        this.#upgrade = { resolve, reject };
        timeout = setTimeout(() => reject(this.#notUpgraded(`it has not within ${limitMs} ms`)), limitMs);
        this.child.kill("SIGUSR1");
      });
    } finally {
      clearTimeout(timeout);
      this.#upgrade = undefined;
    }
  }

  /** The daemon's counters, as it gives them. @throws ShimError */
  async metrics(): Promise<unknown> {
    const socket = createConnection(this.layout.metricsSocket);
    const limitMs = timeLimitMs("daemonAnswerSeconds");
    socket.setTimeout(limitMs, () => socket.destroy(new Error(`no answer within ${limitMs} ms`)));
    try {
      let text = "";
      for await (const chunk of socket.setEncoding("utf8")) text += chunk;
      return JSON.parse(text);
    } catch (cause) {
      throw new ShimError(StatusCode.UNAVAILABLE, `kata-fsd's metrics: ${messageOf(cause)}`, { cause });
    }
  }

  /** Ends the daemon and waits for it. Harmless when it has ended. */
  async stop(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }

  /** Takes note of what a line says that the daemon or its launcher has printed. */
  #hear(line: string): void {
    const [, restarts] = RESTART.exec(line) ?? [];
    if (restarts !== undefined) {
      this.#restarts = Number(restarts);
      this.logger.warn(line);
    }
    const [, version, pauseMs] = UPGRADED.exec(line) ?? [];
    if (version !== undefined) {
      this.logger.info(line);
      this.#upgrade?.resolve({ version, pauseMs: Number(pauseMs) });
    }
    if (NOT_UPGRADED.test(line))
      this.#upgrade?.reject(this.#notUpgraded(this.stderr.lastLines(STDERR_LINES_TOLD).join(" | ")));
  }

  #notUpgraded(why: string): ShimError {
    return new ShimError(StatusCode.ABORTED, `the other build of kata-fsd did not take over: ${why}`);
  }

  #describeEnd(code: number | null, signal: NodeJS.Signals | null): ShimError {
    const how = signal === null ? `exit status ${code}` : `signal ${signal}`;
    const words = this.stderr.lastLines(STDERR_LINES_TOLD).join(" | ");
    return new ShimError(
      StatusCode.UNAVAILABLE,
      `kata-fsd ended with ${how}${words === "" ? "" : `: ${words}`}`,
    );
  }
}

/** Without a configured daemon it is the one that was built with the shim. */
export function daemonProgram({ path }: DaemonConfiguration): string {
  return path ?? fileURLToPath(new URL("./bin/kata-fsd", import.meta.url));
}

/** What containerd's environment holds is none of the daemon's business. It is run by the same Node as the shim. */
function environment({ daemonBuild }: SandboxLayout): NodeJS.ProcessEnv {
  const { PATH } = process.env;
  return {
    KATA_FS_NODE: process.execPath,
    KATA_FSD_BUILD: daemonBuild,
    ...(PATH === undefined ? {} : { PATH }),
  };
}

/**
 * What the guest may keep of what, by where planRootfs and planVolumes put it. Layers of images never change while a container uses them.
 * Upper and work directories, and a snapshot that is the container's alone, are changed by nobody else. Volumes, and the root
 * file system in a bundle, are the host's as much as the guest's.
 */
const SHARED_EXPORTS = ["*/bundle:shared", "*/volumes/*:shared"];
const OWN_EXPORTS = ["*/lower/*:immutable,overlay", "*/upper:exclusive,overlay", "*/rootfs:exclusive"];

/** kata-fsd's arguments: see fsd/options/. */
export function daemonArguments(
  { dax, daxWindowMiB, guestDaxWindowMiB, daxThresholdKiB, writeback }: DaemonConfiguration,
  guestRoot: string | undefined,
  layout: SandboxLayout,
): string[] {
  // One file system to the guest: a replayed rename must not cross a boundary between two (see agent/replay/).
  const mountable = ["--killpriv-v2", "--posix-acl=auto", "--no-announce-submounts"];
  const exports = (texts: readonly string[]) => texts.flatMap((text) => ["--export", text]);
  const window = (sizeMiB: number) => ["--dax-window", `${sizeMiB}M`];
  return [
    ...["--metrics-socket", layout.metricsSocket, "--events-socket", layout.eventsSocket],
    ...(guestRoot === undefined
      ? []
      : [
          ...["--socket-path", layout.guestSocket, "--shared-dir", guestRoot, "--tag", Tags.guest],
          ...["--readonly", "--cache", "always", "--xattr"],
          ...(dax ? ["--dax", "always", ...window(guestDaxWindowMiB)] : []),
          "--device",
        ]),
    ...["--socket-path", layout.sharedSocket, "--shared-dir", layout.shared, "--tag", Tags.shared],
    ...[...mountable, ...exports(SHARED_EXPORTS)],
    "--device",
    ...["--socket-path", layout.ownSocket, "--shared-dir", layout.own.shared, "--tag", Tags.own],
    ...[...mountable, "--overlay-broker-fd", `${BROKER_FD}`, ...exports(OWN_EXPORTS)],
    // The agent of another guest does not write back when a container is paused, and what is committed then would lack something.
    ...(writeback && guestRoot !== undefined ? ["--writeback"] : []),
    ...(dax ? ["--dax", "inode", ...window(daxWindowMiB), "--dax-threshold", `${daxThresholdKiB}K`] : []),
  ];
}

/** Resolves when all devices listen; rejects when the process cannot be started. @param lines what the daemon says */
function untilReady(child: ChildProcess, devices: number, lines: Interface): Promise<undefined> {
  return new Promise((resolve, reject) => {
    child.once("error", (cause) =>
      reject(
        new ShimError(StatusCode.UNAVAILABLE, `kata-fsd cannot be started: ${cause.message}`, { cause }),
      ),
    );
    let listening = 0;
    lines.on("line", (line) => {
      if (READY.test(line) && ++listening === devices) resolve(undefined);
    });
  });
}

function aborted(signal: AbortSignal): Promise<ShimError> {
  return new Promise((resolve) => {
    signal.addEventListener("abort", () =>
      resolve(
        new ShimError(
          StatusCode.DEADLINE_EXCEEDED,
          `kata-fsd does not listen within ${timeLimitMs("daemonStartSeconds")} ms`,
        ),
      ),
    );
  });
}
