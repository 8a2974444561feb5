import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, open, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type CommandResult, capture } from "../command.js";
import type { Containerd } from "../components/containerd.js";
import { SetupError } from "../setup-error.js";

const START_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 10_000;

/** CRI wants networks and pause images; ctr needs none of it. Names of 1.x and of 2.x: a name without a plugin is harmless. */
const UNUSED_PLUGINS = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.cri.v1.images",
  "io.containerd.cri.v1.runtime",
  "io.containerd.internal.v1.opt",
];

/** Where a containerd of our own keeps its things. */
export interface ContainerdPlaces {
  /** Images and snapshots: a disk that overlayfs accepts for upper directories. */
  readonly root: string;
  /** State and sockets: a short path, since a socket's address has at most 107 bytes. */
  readonly state: string;
  /** Adds the settings of the CRI plugins to the configuration; without it they are off. */
  readonly withCri?: (bare: string) => string;
}

/** A containerd beside those that may run on the machine, with nothing shared. */
export class PrivateContainerd {
  /** Address of its gRPC socket. */
  readonly address: string;

  private constructor(
    private readonly program: Containerd,
    private child: ChildProcess,
    private readonly places: ContainerdPlaces,
    private readonly env: NodeJS.ProcessEnv,
  ) {
    this.address = addressIn(places);
  }

  /**
   * Starts containerd and waits until it answers. `env` reaches the shims that it starts.
   *
   * @throws SetupError with the end of its log when it ends or does not answer in time.
   */
  static async start(
    program: Containerd,
    places: ContainerdPlaces,
    env: NodeJS.ProcessEnv,
  ): Promise<PrivateContainerd> {
    await mkdir(places.root, { recursive: true });
    await mkdir(places.state, { recursive: true });
    await writeFile(configIn(places), configuration(program.version, places));
    const instance = new PrivateContainerd(program, await spawnDaemon(program, places, env), places, env);
    try {
      await instance.#untilItAnswers();
      return instance;
    } catch (error) {
      await instance.stop();
      throw error;
    }
  }

  get pid(): number {
    const { pid } = this.child;
    if (pid === undefined) throw new Error("containerd was not started");
    return pid;
  }

  /** Kills containerd as a crash would, and waits for its end. Its shims live on. */
  async crash(): Promise<void> {
    if (this.#hasEnded) return;
    const exit = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await exit;
  }

  /** Starts containerd again where it was, once it has ended. @throws SetupError as {@link start} */
  async restart(): Promise<void> {
    this.child = await spawnDaemon(this.program, this.places, this.env);
    await this.#untilItAnswers();
  }

  /** The command line of ctr against this instance. */
  ctrCommand(...args: readonly string[]): string[] {
    return [this.program.ctr, "--address", this.address, ...args];
  }

  ctr(...args: readonly string[]): Promise<CommandResult> {
    return capture(this.ctrCommand(...args));
  }

  /** The last lines of containerd's log, among them what its shims logged. */
  async logTail(lines: number): Promise<string> {
    const text = await readFile(logIn(this.places), "utf8");
    return text.trimEnd().split("\n").slice(-lines).join("\n");
  }

  /** Ends containerd, by force after a while. Safe to call twice. */
  async stop(): Promise<void> {
    if (this.#hasEnded) return;
    const exit = once(this.child, "exit");
    this.child.kill("SIGTERM");
    const force = setTimeout(() => this.child.kill("SIGKILL"), STOP_LIMIT_MS);
    await exit;
    clearTimeout(force);
  }

  get #hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  async #untilItAnswers(): Promise<void> {
    const deadline = performance.now() + START_LIMIT_MS;
    while ((await this.ctr("version")).status !== 0) {
      const ended = this.#hasEnded;
      if (ended || performance.now() > deadline) {
        throw new SetupError({
          found: `containerd ${this.program.version} ${ended ? "ended at once" : "does not answer"}: ${await this.logTail(1)}`,
          needed: "a containerd that runs",
        });
      }
      await delay(50);
    }
  }
}

async function spawnDaemon(
  { daemon }: Containerd,
  places: ContainerdPlaces,
  env: NodeJS.ProcessEnv,
): Promise<ChildProcess> {
  const log = await open(logIn(places), "a");
  // A session of its own: a Ctrl-C at the terminal must not end it before the containers are gone.
  const child = spawn(daemon, ["--config", configIn(places)], {
    env,
    detached: true,
    stdio: ["ignore", log.fd, log.fd],
  });
  await once(child, "spawn").finally(() => log.close());
  return child;
}

function addressIn({ state }: ContainerdPlaces): string {
  return join(state, "containerd.sock");
}

function configIn({ state }: ContainerdPlaces): string {
  return join(state, "config.toml");
}

function logIn({ state }: ContainerdPlaces): string {
  return join(state, "containerd.log");
}

function configuration(version: string, places: ContainerdPlaces): string {
  const text = JSON.stringify;
  const isWithCri = places.withCri !== undefined;
  const bare = `version = ${version.startsWith("1.") ? 2 : 3}
root = ${text(places.root)}
state = ${text(places.state)}
disabled_plugins = ${text(isWithCri ? [] : UNUSED_PLUGINS)}
[grpc]
address = ${text(addressIn(places))}
[ttrpc]
address = ${text(`${addressIn(places)}.ttrpc`)}
`;
  return places.withCri?.(bare) ?? bare;
}
