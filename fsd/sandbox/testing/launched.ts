import {
  type ChildProcess,
  type SpawnSyncReturns,
  type StdioOptions,
  spawn,
  spawnSync,
} from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { buildSync } from "esbuild";

const PROJECT = fileURLToPath(new URL("../../../", import.meta.url));
/** The native modules of koffi, all that a bundle takes from there. */
const KOFFI = "node_modules/@koromix";
const TIME_LIMIT_MS = 30_000;
/** The program that is killed is not started anew, unless a test wants that. */
const ONCE = { KATA_FSD_DEATHS_MAX: "1" };

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Descriptors 3, 4, … of the program. */
  readonly descriptors?: readonly number[];
  /** What the launcher is run by, such as unshare(1). */
  readonly prefix?: readonly string[];
}

/** A program laid out as the daemon is, in a directory of its own: bin/kata-fsd, the launcher, beside the bundle that it starts. */
export class LaunchedProgram {
  /** Of the test, and gone with {@link remove}. */
  readonly directory = mkdtempSync(join(tmpdir(), "kata-fsd-sandbox-"));
  readonly launcher = join(this.directory, "bin/kata-fsd");
  readonly bundle = join(this.directory, "fsd.cjs");

  /** @param entry TypeScript, relative to the project */
  constructor(entry: string) {
    mkdirSync(join(this.directory, "bin"));
    copyFileSync(join(PROJECT, "fsd/launcher.sh"), this.launcher);
    chmodSync(this.launcher, 0o755);
    // Other users have no way into every project folder.
    chmodSync(this.directory, 0o755);
    cpSync(join(PROJECT, KOFFI), join(this.directory, KOFFI), { recursive: true });
    buildSync({
      entryPoints: [join(PROJECT, entry)],
      outfile: this.bundle,
      bundle: true,
      platform: "node",
      target: "node20",
      format: "cjs",
      external: ["koffi"],
      define: { "import.meta.url": "__bundleUrl" },
      banner: { js: `const __bundleUrl = require("node:url").pathToFileURL(__filename).href;` },
    });
  }

  run(args: readonly string[], options: RunOptions = {}): SpawnSyncReturns<string> {
    const [file, ...words] = this.#command(args, options);
    return spawnSync(file, words, { ...this.#settings(options), encoding: "utf8", timeout: TIME_LIMIT_MS });
  }

  start(args: readonly string[], options: RunOptions = {}): ChildProcess {
    const [file, ...words] = this.#command(args, options);
    return spawn(file, words, this.#settings(options));
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #command(args: readonly string[], { prefix = [] }: RunOptions): [string, ...string[]] {
    const [file = this.launcher, ...words] = [...prefix, this.launcher, ...args];
    return [file, ...words];
  }

  #settings({ env = {}, descriptors = [] }: RunOptions) {
    const stdio: StdioOptions = ["ignore", "pipe", "pipe", ...descriptors];
    return { stdio, env: { PATH: process.env["PATH"], KATA_FS_NODE: process.execPath, ...ONCE, ...env } };
  }
}

/** What keeps the daemon's descriptors, beside it: see lib/sys/descriptor-keeper.ts. */
const KEEPER = "kata-fsd-keeper";

/** The last descendant of a process that has one child at a time: the daemon behind its launcher. */
export function innermostProcess(pid: number): number {
  for (let found = pid; ; ) {
    const child = childOf(found);
    if (child === undefined) return found;
    found = child;
  }
}

/** The daemon behind its launcher, which may be about to start another one. */
export async function untilDaemon(launcherPid: number): Promise<number> {
  for (;;) {
    const pid = innermostProcess(launcherPid);
    if (readProcFile(pid, "cmdline").split("\0")[1]?.endsWith(".cjs") === true) return pid;
    await sleep(5);
  }
}

function childOf(parent: number): number | undefined {
  return readdirSync("/proc")
    .map(Number)
    .filter(Number.isInteger)
    .find((pid) => parentOf(pid) === parent && nameOf(pid) !== KEEPER);
}

function parentOf(pid: number): number | undefined {
  return Number(/^PPid:\s+(\d+)/m.exec(readProcFile(pid, "status"))?.[1]);
}

function nameOf(pid: number): string {
  return readProcFile(pid, "comm").trim();
}

function readProcFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "latin1");
  } catch {
    // It has ended meanwhile.
    return "";
  }
}
