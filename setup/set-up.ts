import { mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { machineObstacle } from "../scripts/requirements.mjs";
import { install, isInstalled, isStagingName } from "./component.js";
import {
  adequateSystemContainerd,
  type Containerd,
  containerdComponent,
  privateContainerd,
  runcComponent,
  seriesFor,
} from "./components/containerd.js";
import { GuestFiles, guestComponent, installAgent } from "./components/guest.js";
import { adequateSystemQemu, privateQemu, probeQemu, qemuComponent } from "./components/qemu.js";
import { findCompiler, SHMEM_PRELOAD, shmemPreloadComponent } from "./components/shmem-preload.js";
import { Debian } from "./debian/suites.js";
import type { PrivateDirectory } from "./private-directory.js";
import type { Progress } from "./progress.js";
import { SetupError } from "./setup-error.js";
import { type Toolchain, writeIfChanged } from "./toolchain.js";

export interface SetUpOptions {
  readonly directory: PrivateDirectory;
  /** The repository, built. */
  readonly project: string;
  /**
   * Which containerd is wanted: a series such as "1.6", "all" that the tests cover, or "any": the machine's own if it will
   * do, a private one otherwise.
   */
  readonly containerd: string;
  readonly progress: Progress;
}

/**
 * Brings the private directory up to what this version of kata-fs needs and says where things are. Asks the network only
 * for what is missing.
 *
 * @throws SetupError
 */
export async function setUp(options: SetUpOptions): Promise<Toolchain> {
  const { directory, project, progress } = options;
  const obstacle = machineObstacle();
  if (obstacle) throw new SetupError(obstacle);
  await makeDirectory(directory.path);
  await removeRemains(directory.path);
  const debian = new Debian(directory.apt, progress);
  try {
    const preload = await shmemPreloadComponent(
      directory.shmemPreload,
      join(project, "setup/shmem-preload/shmem-preload.c"),
    );
    // Before the downloads, which take a while; the library is cheap to build and comes after them.
    if (!(await isInstalled(preload))) await findCompiler();
    const systemQemu = await adequateSystemQemu();
    if (systemQemu === undefined) await install(qemuComponent(directory.qemu, debian), progress);
    const containerd = await setUpContainerd(options, debian);
    await install(runcComponent(directory.runc, debian), progress);
    await setUpGuest(options, debian);
    await install(preload, progress);

    const shmemPreload = join(directory.shmemPreload, SHMEM_PRELOAD);
    const toolchain: Toolchain = {
      qemu:
        systemQemu === undefined
          ? await probeQemu(privateQemu(directory.qemu, shmemPreload))
          : { ...systemQemu, env: { ...systemQemu.env, LD_PRELOAD: shmemPreload } },
      kernel: join(directory.guest, GuestFiles.kernel),
      guestRoot: join(directory.guest, GuestFiles.root),
      shmemPreload,
      firmware: "qboot.rom",
      runc: join(directory.runc, "runc"),
      containerd,
    };
    await writeIfChanged(directory.toolchainFile, `${JSON.stringify(toolchain, undefined, 2)}\n`);
    return toolchain;
  } finally {
    await rm(directory.apt, { recursive: true, force: true });
    await removeIfEmpty(directory.path);
  }
}

async function setUpContainerd(
  { directory, progress, containerd: wanted }: SetUpOptions,
  debian: Debian,
): Promise<Toolchain["containerd"]> {
  if (wanted === "any") {
    const system = await adequateSystemContainerd();
    if (system !== undefined) return { machine: system };
  }
  const found: Record<string, Containerd> = {};
  for (const series of seriesFor(wanted)) {
    const target = directory.containerd(series);
    await install(containerdComponent(target, series, debian), progress);
    found[series] = await privateContainerd(target);
  }
  return found;
}

async function setUpGuest({ directory, project, progress }: SetUpOptions, debian: Debian): Promise<void> {
  const sources = { node: process.execPath, nodeModules: join(project, "node_modules") };
  await install(await guestComponent(directory.guest, sources, debian), progress);
  await installAgent(directory.guest, join(project, "dist/agent.cjs"));
}

async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    throw new SetupError(
      {
        found: `${path} cannot be made: ${cause.code}`,
        needed: "a writable place, or another one in KATA_FS_DIR",
      },
      { cause },
    );
  });
}

/** A set-up that could not make anything leaves nothing. */
async function removeIfEmpty(path: string): Promise<void> {
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOTEMPTY") throw error;
  });
}

/** Removes what a set-up that was killed left: the caller holds the lock, so nobody works there. */
async function removeRemains(path: string): Promise<void> {
  for (const folder of [path, join(path, "containerd")]) {
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter(isStagingName)) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}
