import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { GuestLayout } from "../../guest/layout.js";
import { NodeRuntime } from "../../guest/node-runtime.js";
import type { Toolchain } from "../../setup/toolchain.js";
import { project } from "../e2e/machine.js";
import { daxDevice, FileSystemDaemon, plainDevice } from "../guest/file-system-daemon.js";
import { runGuest } from "../guest/run-guest.js";
import { type Outcome, parse } from "./suite/report.js";

const kataFsd = join(project, "dist/bin/kata-fsd");
const TIME_LIMIT_MS = 240_000;
const MEMORY_MIB = 1024;

export interface Run {
  readonly daemon: "kata-fsd" | "virtiofsd";
  /** Options of the daemon besides socket and directory. */
  readonly options: readonly string[];
  /** Bootable kernel of the guest. */
  readonly kernel: string;
}

/**
 * Runs all checks in a guest, on a directory of the host that the daemon serves.
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
  try {
    const shared = join(base, "shared");
    await mkdir(shared);
    const socket = join(base, "fs.sock");
    const where = ["--socket-path", socket, "--shared-dir", shared];
    const daemon = await start([...programOf(tools, run.daemon), ...where, ...run.options]);
    const toolsSocket = join(base, "tools.sock");
    await start([kataFsd, "--socket-path", toolsSocket, "--shared-dir", tools.guestRoot, ...TOOLS_OPTIONS]);
    const { output, console } = await runGuest({
      qemu: tools.qemu,
      kernel: run.kernel,
      tools: tools.guestRoot,
      files: { "/suite.cjs": await bundleSuite(base) },
      devices: [...plainDevice(socket, "data"), ...daxDevice(toolsSocket, "tools")],
      memoryMiB: MEMORY_MIB,
      timeLimitMs: TIME_LIMIT_MS,
      script: SCRIPT,
    });
    if (!/^end$/m.test(output))
      throw new Error(`the suite did not end: ${[output, console, ...daemon.lines].join("\n")}`);
    return parse(output);
  } finally {
    for (const daemon of daemons) await daemon.kill();
    await rm(base, { recursive: true, force: true });
  }
}

function programOf(tools: Toolchain, daemon: Run["daemon"]): readonly string[] {
  if (daemon === "kata-fsd") return [kataFsd];
  if (tools.testing === undefined) throw new Error("set-up brought no virtiofsd");
  return tools.testing.virtiofsd.argv;
}

const TOOLS_OPTIONS = ["--tag", "tools", "--readonly", "--cache", "always", "--dax", "always"];

/** Node.js comes from the guest OS directory, the suite from the initramfs. */
const SCRIPT = `
mkdir -p /tools /dev/shm
mount -t tmpfs tmpfs /dev/shm
mount -t virtiofs -o ro,dax=always tools /tools || exit 9
mount -t virtiofs data /mnt || exit 9
export NODE_PATH=/tools/${GuestLayout.nodeModules}
node=/tools/${GuestLayout.node}
exec $node/${NodeRuntime.loader} --library-path $node/${NodeRuntime.libraries} \
  $node/${NodeRuntime.node} --no-warnings /suite.cjs /mnt
`;

/** The suite as one file for the guest's Node.js. */
async function bundleSuite(directory: string): Promise<string> {
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
