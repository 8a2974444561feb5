import { readdirSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Toolchain } from "../../setup/toolchain.js";
import { FileSystemDaemon, plainDevice } from "../guest/file-system-daemon.js";
import { runGuest } from "../guest/run-guest.js";
import { bundleSuite, kataFsd, RUN_SUITE, TOOLS_OPTIONS } from "./run-suite.js";
import { LARGE_DIRECTORY, STAYS } from "./suite/large-directory.js";

/** Files of a directory of the tree. */
const FILES_A_DIRECTORY = 1000;
/** A guest's kernel needs about this for an inode and its name. */
const GUEST_KIB_PER_INODE = 1.5;
const GUEST_BASE_MIB = 768;
const SAMPLE_MS = 50;
const PAGE_BYTES = 4096;

export interface ManyFiles {
  /** Files of a tree that is walked. */
  readonly tree: number;
  /** Entries of one directory that is read while others come and go. */
  readonly directory: number;
  readonly kernel: string;
  readonly timeLimitMs: number;
}

export interface ManyFilesOutcome {
  /** What the guest printed. */
  readonly output: string;
  readonly console: string;
  /** The most that kata-fsd had open at one time, and of resident memory before the guest looked and at most. */
  readonly descriptorsMax: number;
  readonly residentBytesBefore: number;
  readonly residentBytesMax: number;
}

/** Has a guest walk a tree of many files, all of which its kernel remembers, and read a directory of many entries. */
export async function serveManyFiles(tools: Toolchain, many: ManyFiles): Promise<ManyFilesOutcome> {
  const base = await mkdtemp(join(tmpdir(), "kata-fs-many-"));
  const shared = join(base, "shared");
  await mkdir(shared);
  const daemons: FileSystemDaemon[] = [];
  const serve = async (
    command: readonly string[],
    tag: string,
    directory: string,
    options: readonly string[],
  ) => {
    const socket = ["--socket-path", join(base, `${tag}.sock`), "--shared-dir", directory];
    const daemon = await FileSystemDaemon.start([...command, ...socket, ...options]);
    daemons.push(daemon);
    return daemon;
  };
  try {
    const data = await serve([...withManyFiles(shared, many), kataFsd], "data", shared, DATA_OPTIONS);
    await serve([kataFsd], "tools", tools.guestRoot, TOOLS_OPTIONS);
    const suite = await bundleSuite(base);
    const watch = new Watch(lastDescendantOf(data.pid));
    const before = watch.residentBytesMax;
    const { output, console } = await watch.during(
      runGuest({
        qemu: tools.qemu,
        kernel: many.kernel,
        tools: tools.guestRoot,
        files: { "/suite.cjs": suite },
        devices: ["data", "tools"].flatMap((tag) => plainDevice(join(base, `${tag}.sock`), tag)),
        memoryMiB: GUEST_BASE_MIB + Math.ceil((many.tree * GUEST_KIB_PER_INODE) / 1024),
        timeLimitMs: many.timeLimitMs,
        script: SCRIPT,
      }),
    );
    const { descriptorsMax, residentBytesMax } = watch;
    return { output, console, descriptorsMax, residentBytesMax, residentBytesBefore: before };
  } finally {
    for (const daemon of daemons) await daemon.kill();
    await rm(base, { recursive: true, force: true });
  }
}

/** READDIR alone for the directory, so that its names cost the guest no inodes. */
const DATA_OPTIONS = ["--cache", "always", "--no-readdirplus"];

const SCRIPT = `
mkdir -p /tools
mount -t virtiofs -o ro tools /tools || exit 9
mount -t virtiofs data /mnt || exit 9
for time in first second; do echo "walk: $(find /mnt/tree -type f | wc -l)"; done
${RUN_SUITE} ${LARGE_DIRECTORY} /mnt/directory
`;

/** The beginning of a command that finds the files in `directory`, on a tmpfs in a mount namespace of its own that ends with it. */
function withManyFiles(directory: string, { tree, directory: entries }: ManyFiles): string[] {
  const steps = [
    `mount -t tmpfs -o size=4g,nr_inodes=0 tmpfs ${directory}`,
    `mkdir ${directory}/tree ${directory}/directory`,
    `cd ${directory}/tree`,
    `seq ${Math.ceil(tree / FILES_A_DIRECTORY)} | xargs mkdir`,
    `for sub in *; do (cd $sub; seq ${FILES_A_DIRECTORY} | xargs touch); done`,
    `cd ${directory}/directory`,
    `seq -f '${STAYS}%.0f' 0 ${entries - 1} | xargs touch`,
  ];
  return ["unshare", "--mount", "sh", "-c", `${steps.join(" && ")} && cd / && exec "$@"`, "sh"];
}

/** kata-fsd itself, behind its launcher. */
function lastDescendantOf(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").trim().split(" ");
  return child ? lastDescendantOf(Number(child)) : pid;
}

/** Looks at a process again and again. */
class Watch {
  descriptorsMax = 0;
  residentBytesMax = 0;

  constructor(private readonly pid: number) {
    this.#look();
  }

  /** Until `what` has ended. */
  async during<T>(what: Promise<T>): Promise<T> {
    let isOver = false;
    const end = () => {
      isOver = true;
    };
    what.then(end, end);
    for (; !isOver; await delay(SAMPLE_MS)) this.#look();
    return what;
  }

  #look(): void {
    try {
      this.descriptorsMax = Math.max(this.descriptorsMax, readdirSync(`/proc/${this.pid}/fd`).length);
      const [, resident = "0"] = readFileSync(`/proc/${this.pid}/statm`, "latin1").split(" ");
      this.residentBytesMax = Math.max(this.residentBytesMax, Number(resident) * PAGE_BYTES);
    } catch {
      // It has ended, as it does when its guest is off.
    }
  }
}
