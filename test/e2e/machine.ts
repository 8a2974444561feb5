import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { delimiter, dirname, join, resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { withOverrides } from "../../setup/config-file.js";
import type { Overrides } from "../../setup/overrides.js";
import { privateDirectory } from "../../setup/private-directory.js";
import { IMAGE_NAME, makeDemoImage } from "../../setup/run/demo-image.js";
import { mountsBelow } from "../../setup/run/leftovers.js";
import { PrivateContainerd } from "../../setup/run/private-containerd.js";
import { SMALL_SAMPLE_BYTES } from "../../setup/run/sample-file.js";
import type { Toolchain } from "../../setup/toolchain.js";
import { editSpec, type Spec } from "./container-store.js";
import { foundOf, NAMESPACE } from "./leftovers.js";

export const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
export const RUNTIME = "io.containerd.kata-fs.v2";

/** What a sandbox may still be doing after its container has been removed. */
const GRACE_MS = 10_000;

/** How a command ended, with everything that it printed. */
export interface Outcome {
  /** Exit status, or 128 + the signal's number. */
  readonly status: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

export interface RunOptions {
  /** Changes what ctr has made of the flags, before the container starts. */
  readonly edit?: (spec: Spec) => void;
  /** Goes to standard input, which ends behind it. */
  readonly input?: Buffer;
  /** Words for ctr before the image. */
  readonly flags?: readonly string[];
  readonly runtime?: string;
}

/** What set-up has installed. */
export async function toolchain(): Promise<Toolchain> {
  return JSON.parse(await readFile(privateDirectory().toolchainFile, "utf8"));
}

/** The containerds that the tests run against, by series. */
export async function containerdSeries(): Promise<readonly string[]> {
  const series = Object.keys((await toolchain()).containerd).filter((name) => name !== "machine");
  assert.ok(series.length >= 3, `set-up brought only containerd ${series.join(", ")}`);
  return series;
}

/** Keys of the configuration that differ from what set-up wrote, or what makes them, given a directory that goes with the machine. */
export type Changes = Overrides | ((disk: string) => Promise<Overrides>);

/** What makes a machine's containerd another one than ctr needs. */
export interface MachineOptions {
  /** Of the image, on top of its own, as tar archives. */
  readonly layers?: readonly Buffer[];
  /** Of containerd, and so of the shims, besides this process's own. */
  readonly env?: NodeJS.ProcessEnv;
  /** containerd's namespace for everything. */
  readonly namespace?: string;
  /** Adds the settings of the CRI plugins to containerd's configuration; without it they are off. */
  readonly withCri?: (bare: string, facts: { version: string; disk: string; configPath: string }) => string;
}

/** A containerd with an image, whose sandboxes can be told from all others of the machine by their names. */
export class Machine {
  readonly #names = new Set<string>();

  private constructor(
    readonly id: string,
    readonly disk: string,
    readonly state: string,
    readonly containerd: PrivateContainerd,
    readonly sampleMd5: string,
    private readonly namespace: string,
  ) {}

  /**
   * @param series a key of {@link Toolchain.containerd}
   * @param changes keys of the configuration that differ from what set-up wrote
   */
  static async start(
    series: string,
    changes: Changes = {},
    { layers = [], env = {}, namespace = NAMESPACE, withCri }: MachineOptions = {},
  ): Promise<Machine> {
    const tools = await toolchain();
    const program = tools.containerd[series];
    assert.ok(program, `set-up brought no containerd ${series}`);
    const id = `test-${randomBytes(4).toString("hex")}`;
    const disk = join(privateDirectory().path, "test", id);
    const state = join("/run", id);
    await mkdir(disk, { recursive: true });
    await mkdir(state, { recursive: true });
    const config = join(disk, "config.yaml");
    const overrides = typeof changes === "function" ? await changes(disk) : changes;
    await writeFile(config, withOverrides(await readFile(privateDirectory().configFile, "utf8"), overrides));
    const containerd = await PrivateContainerd.start(
      program,
      {
        root: join(disk, "containerd"),
        state: join(state, "c"),
        ...(withCri && {
          withCri: (bare: string) => withCri(bare, { version: program.version, disk, configPath: config }),
        }),
      },
      {
        ...process.env,
        PATH: [
          join(project, "dist/bin"),
          dirname(tools.runc),
          dirname(process.execPath),
          process.env["PATH"],
        ].join(delimiter),
        KATA_FS_NODE: process.execPath,
        KATA_FS_CONFIG: config,
        ...env,
      },
    );
    const busybox = join(tools.guestRoot, "usr/bin/busybox");
    const image = await makeDemoImage(disk, busybox, SMALL_SAMPLE_BYTES, layers);
    const machine = new Machine(id, disk, state, containerd, image.sampleMd5, namespace);
    const { status, stderr } = await machine.ctr(["image", "import", image.file]);
    await rm(image.file);
    assert.equal(status, 0, stderr);
    return machine;
  }

  /** ctr leaves its fifos behind when a process is refused; these go with the machine. */
  get #fifoFlags(): readonly string[] {
    return ["--fifo-dir", join(this.state, "fifo")];
  }

  /** A name for a container that no other machine uses. */
  name(suffix: string): string {
    const name = `${this.id}-${suffix}`;
    this.#names.add(name);
    return name;
  }

  /** Counts a container whose name somebody else has chosen as one of this machine. */
  claim(name: string): void {
    this.#names.add(name);
  }

  ctr(words: readonly string[], input?: Buffer): Promise<Outcome> {
    return execute(this.containerd.ctrCommand("--namespace", this.namespace, ...words), input);
  }

  /** Runs a command in a container of its own and removes it. */
  run(
    suffix: string,
    command: readonly string[],
    { input, flags = [], runtime = RUNTIME, edit }: RunOptions = {},
  ): Promise<Outcome> {
    const name = this.name(suffix);
    const [options, what] = [
      ["--runtime", runtime, ...flags],
      [IMAGE_NAME, name, ...command],
    ];
    if (edit === undefined) return this.ctr(["run", "--rm", ...this.#fifoFlags, ...options, ...what], input);
    // ctr of 1.6 takes options of the command for its own.
    return this.#runEdited(name, [...options, "--", ...what], edit, input);
  }

  async #runEdited(
    name: string,
    what: readonly string[],
    edit: (spec: Spec) => void,
    input?: Buffer,
  ): Promise<Outcome> {
    const made = await this.ctr(["container", "create", ...what]);
    assert.equal(made.status, 0, made.stderr);
    try {
      await editSpec(this.containerd.address, this.namespace, name, edit);
      return await this.ctr(["task", "start", ...this.#fifoFlags, name], input);
    } finally {
      const { status, stderr } = await this.ctr(["container", "delete", name]);
      assert.equal(status, 0, stderr);
    }
  }

  /** Starts a container that goes on in the background. */
  async runDetached(
    suffix: string,
    command: readonly string[],
    { flags = [], runtime = RUNTIME }: Pick<RunOptions, "flags" | "runtime"> = {},
  ): Promise<void> {
    const name = this.name(suffix);
    const words = ["run", "--detach", "--runtime", runtime, ...flags, IMAGE_NAME, name, ...command];
    const { status, stderr } = await this.ctr(words);
    assert.equal(status, 0, stderr + (await this.containerd.logTail(30)));
  }

  /** Runs a command in a container that is there. */
  exec(
    suffix: string,
    command: readonly string[],
    input?: Buffer,
    execId = `e${randomBytes(4).toString("hex")}`,
  ): Promise<Outcome> {
    const words = ["task", "exec", ...this.#fifoFlags, "--exec-id", execId, this.name(suffix), ...command];
    return this.ctr(words, input);
  }

  /** "RUNNING", "STOPPED", or undefined when there is no such task. */
  async status(suffix: string): Promise<string | undefined> {
    const { stdout } = await this.ctr(["task", "list"]);
    const line = stdout
      .toString()
      .split("\n")
      .find((text) => text.startsWith(`${this.name(suffix)} `));
    return line?.trim().split(/\s+/).at(-1);
  }

  async untilStatus(suffix: string, wanted: string | undefined, limitMs = 20_000): Promise<void> {
    const deadline = performance.now() + limitMs;
    let found = await this.status(suffix);
    while (found !== wanted) {
      assert.ok(
        performance.now() < deadline,
        `${suffix} is ${found}, and not ${wanted}, after ${limitMs} ms`,
      );
      await delay(100);
      found = await this.status(suffix);
    }
  }

  /** Removes a container with its task. */
  async remove(suffix: string): Promise<void> {
    await this.ctr(["task", "delete", "--force", this.name(suffix)]);
    const { status, stderr } = await this.ctr(["container", "delete", this.name(suffix)]);
    assert.equal(status, 0, stderr);
  }

  /** What is left of sandboxes: processes, mounts, directories, control groups, sockets. Empty when all is as it was, within a limit. */
  async leftovers(limitMs = GRACE_MS): Promise<string[]> {
    const deadline = performance.now() + limitMs;
    for (;;) {
      const found = await this.#look();
      if (found.length === 0 || performance.now() > deadline) return found;
      await delay(100);
    }
  }

  /** Ends containerd and removes everything; fails if a sandbox has left something. */
  async stop(): Promise<void> {
    const left = await this.leftovers();
    const log = left.length > 0 ? await this.containerd.logTail(60) : "";
    // A test that failed half way has not removed its containers.
    for (const name of this.#names) await this.ctr(["task", "delete", "--force", name]);
    await this.containerd.stop();
    for (const directory of [this.disk, this.state]) {
      for (const point of await mountsBelow(directory)) await execute(["umount", "--lazy", point]);
      await rm(directory, { recursive: true, force: true });
    }
    assert.deepEqual(left, [], log);
  }

  #look(): Promise<string[]> {
    return foundOf({
      id: this.id,
      state: this.state,
      address: this.containerd.address,
      namespace: this.namespace,
      names: this.#names,
    });
  }
}

/** Runs a command to its end. */
export function execute(
  [file = "", ...args]: readonly string[],
  input: Buffer = Buffer.alloc(0),
  env: NodeJS.ProcessEnv = process.env,
): Promise<Outcome> {
  return new Promise((resolveOutcome, reject) => {
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "pipe"], env, cwd: project });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
    // A command that ends without reading all of its input is no failure of the test.
    child.stdin.on("error", () => {});
    child.stdin.end(input);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      const status = code ?? (signal === "SIGKILL" ? 137 : 143);
      resolveOutcome({ status, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() });
    });
  });
}
