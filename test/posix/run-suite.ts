import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { GuestLayout } from "../../guest/layout.js";
import { NodeRuntime } from "../../guest/node-runtime.js";
import type { Toolchain } from "../../setup/toolchain.js";
import { execute, project } from "../e2e/machine.js";
import { daxDevice, FileSystemDaemon, plainDevice } from "../guest/file-system-daemon.js";
import { runGuest } from "../guest/run-guest.js";
import { DAX_MODES, type DaxMode } from "./modes.js";
import { makeFixedTree } from "./suite/fixed-tree.js";
import { type Outcome, parse } from "./suite/report.js";

export const kataFsd = join(project, "dist/bin/kata-fsd");
const TIME_LIMIT_MS = 240_000;
const MEMORY_MIB = 1024;
/** Where in the shared directory the small file system is. */
const SMALL = "small";

export interface Run {
  readonly daemon: "kata-fsd" | "virtiofsd";
  /** Options of the daemon besides socket and directory. */
  readonly options: readonly string[];
  /** How the guest has the tree that cannot change: of kata-fsd alone. */
  readonly dax: DaxMode;
  /** Bootable kernel of the guest. */
  readonly kernel: string;
}

/**
 * Runs all checks in a guest, on directories of the host that the daemon serves.
 *
 * @throws Error when the suite did not get to its end, with what guest and daemon said.
 */
export async function runInGuest(tools: Toolchain, run: Run): Promise<Outcome[]> {
  const base = await mkdtemp(join(tmpdir(), "kata-fs-posix-"));
  const daemons: FileSystemDaemon[] = [];
  const start = async (command: readonly string[]) => {
    const daemon = await FileSystemDaemon.start(command);
    daemons.push(daemon);
    return daemon;
  };
  const serve = (program: readonly string[], tag: string, directory: string, options: readonly string[]) =>
    start([...program, "--socket-path", join(base, `${tag}.sock`), "--shared-dir", directory, ...options]);
  try {
    const places = await makePlaces(base);
    const program = programOf(tools, run.daemon);
    const dax = DAX_MODES[run.dax];
    const withSmall = inNamespaceWithSmall(places.small);
    const data = await serve([...withSmall, ...program], "data", places.shared, run.options);
    const fixed = await serve(program, "fixed", places.fixed, [...FIXED_OPTIONS, ...dax.options]);
    await serve([kataFsd], "tools", tools.guestRoot, TOOLS_OPTIONS);
    const fixedDevice = dax.options.length > 0 ? daxDevice : plainDevice;
    const { output, console } = await runGuest({
      qemu: tools.qemu,
      kernel: run.kernel,
      tools: tools.guestRoot,
      files: { "/suite.cjs": await bundleSuite(base) },
      devices: [
        ...["data", "tools"].flatMap((tag) => plainDevice(join(base, `${tag}.sock`), tag)),
        ...fixedDevice(join(base, "fixed.sock"), "fixed"),
      ],
      memoryMiB: MEMORY_MIB,
      timeLimitMs: TIME_LIMIT_MS,
      script: script(dax.mount),
    });
    if (!/^end$/m.test(output))
      throw new Error(`no end of the suite: ${[output, console, ...data.lines, ...fixed.lines].join("\n")}`);
    return parse(output);
  } finally {
    for (const daemon of daemons) await daemon.kill();
    await rm(base, { recursive: true, force: true });
  }
}

/** Runs all checks on the host's own file system. @throws Error when the suite did not get to its end */
export async function runOnHost(): Promise<Outcome[]> {
  const base = await mkdtemp(join(tmpdir(), "kata-fs-posix-"));
  try {
    const { shared, small, fixed } = await makePlaces(base);
    const command = [process.execPath, "--import", "tsx", "test/posix/suite/main.ts", shared, small, fixed];
    const { stdout, stderr } = await execute([...inNamespaceWithSmall(small, fixed), ...command]);
    if (!/^end$/m.test(stdout.toString())) throw new Error(`no end of the suite: ${stdout}${stderr}`);
    return parse(stdout.toString());
  } finally {
    await rm(base, { recursive: true, force: true });
  }
}

/** Below `base`: a directory, one in it on which the small file system is mounted, and a fixed tree. */
async function makePlaces(base: string) {
  // Some of the suite is done as other users.
  await chmod(base, 0o755);
  const shared = join(base, "shared");
  const small = join(shared, SMALL);
  const fixed = join(base, "fixed");
  await mkdir(small, { recursive: true });
  await mkdir(fixed);
  makeFixedTree(fixed);
  return { shared, small, fixed };
}

/**
 * The beginning of a command that has a small file system mounted at `small`, and nothing to be written at `fixed`, in a mount
 * namespace of its own: the mounts end with it.
 */
function inNamespaceWithSmall(small: string, fixed?: string): string[] {
  const steps = [`mount -t tmpfs -o size=4m,nr_inodes=200,mode=755 tmpfs ${small}`];
  if (fixed !== undefined) steps.push(`mount --bind ${fixed} ${fixed}`, `mount -o remount,bind,ro ${fixed}`);
  return ["unshare", "--mount", "sh", "-c", `${steps.join(" && ")} && exec "$@"`, "sh"];
}

function programOf(tools: Toolchain, daemon: Run["daemon"]): readonly string[] {
  if (daemon === "kata-fsd") return [kataFsd];
  if (tools.testing === undefined) throw new Error("set-up brought no virtiofsd");
  return tools.testing.virtiofsd.argv;
}

const FIXED_OPTIONS = ["--tag", "fixed", "--readonly", "--xattr", "--cache", "always"];
/** Of the device with the guest OS directory, which has Node.js. */
export const TOOLS_OPTIONS = ["--readonly", "--cache", "always"];

const node = `/tools/${GuestLayout.node}`;
/** In a script, the beginning of a command: Node.js comes from the guest OS directory, the suite from the initramfs. */
export const RUN_SUITE = [
  `env NODE_PATH=/tools/${GuestLayout.nodeModules}`,
  `${node}/${NodeRuntime.loader} --library-path ${node}/${NodeRuntime.libraries}`,
  `${node}/${NodeRuntime.node} --no-warnings /suite.cjs`,
].join(" ");

/**
 * Whether to write is the daemon's to decide. The guest's clock, which starts at a full second, must not be behind the host's: with
 * --writeback the times of a file come from both.
 */
const script = (fixedMount: string) => `
date -s @$(($(date +%s) + 2)) >/dev/null
mkdir -p /tools /fixed /dev/shm
mount -t tmpfs tmpfs /dev/shm
mount -t virtiofs -o ro tools /tools || exit 9
mount -t virtiofs data /mnt || exit 9
mount -t virtiofs -o ${fixedMount} fixed /fixed || exit 9
exec ${RUN_SUITE} /mnt /mnt/${SMALL} /fixed
`;

/** The suite as one file for the guest's Node.js. */
export async function bundleSuite(directory: string): Promise<string> {
  const outfile = join(directory, "suite.cjs");
  await build({
    absWorkingDir: project,
    entryPoints: ["test/posix/suite/main.ts"],
    outfile,
    bundle: true,
    platform: "node",
    target: "node20",
    format: "cjs",
    external: ["koffi"],
    define: { "import.meta.url": "__bundleUrl" },
    banner: { js: `const __bundleUrl = require("node:url").pathToFileURL(__filename).href;` },
    logLevel: "warning",
  });
  return outfile;
}
