import { access, mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { install, isStagingName } from "./component.js";
import {
  adequateSystemContainerd,
  type Containerd,
  containerdComponent,
  privateContainerd,
  runcComponent,
  seriesFor,
} from "./components/containerd.js";
import { GuestFiles, guestComponent, installAgent } from "./components/guest.js";
import { adequateSystemQemu, privateQemu, probeQemu, type Qemu, qemuComponent } from "./components/qemu.js";
import { SHMEM_PRELOAD, shmemPreloadComponent } from "./components/shmem-preload.js";
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
  requireRoot();
  requireAmd64();
  await mkdir(directory.path, { recursive: true });
  await removeRemains(directory.path);
  const debian = new Debian(directory.apt, progress);
  try {
    await install(
      await shmemPreloadComponent(
        directory.shmemPreload,
        join(project, "setup/shmem-preload/shmem-preload.c"),
      ),
      progress,
    );
    const qemu = await setUpQemu(options, debian);
    const containerd = await setUpContainerd(options, debian);
    await install(runcComponent(directory.runc, debian), progress);
    await setUpGuest(options, debian);

    const toolchain: Toolchain = {
      qemu,
      kernel: join(directory.guest, GuestFiles.kernel),
      guestRoot: join(directory.guest, GuestFiles.root),
      shmemPreload: join(directory.shmemPreload, SHMEM_PRELOAD),
      firmware: "qboot.rom",
      runc: join(directory.runc, "runc"),
      containerd,
    };
    await requireFile(toolchain.kernel, "the guest kernel");
    await writeIfChanged(directory.toolchainFile, `${JSON.stringify(toolchain, undefined, 2)}\n`);
    return toolchain;
  } finally {
    await rm(directory.apt, { recursive: true, force: true });
  }
}

async function setUpQemu({ directory, progress }: SetUpOptions, debian: Debian): Promise<Qemu> {
  const preload = join(directory.shmemPreload, SHMEM_PRELOAD);
  const system = await adequateSystemQemu();
  if (system !== undefined) return { ...system, env: { ...system.env, LD_PRELOAD: preload } };
  await install(qemuComponent(directory.qemu, debian), progress);
  return probeQemu(privateQemu(directory.qemu, preload));
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

/** Removes what a set-up that was killed left: the caller holds the lock, so nobody works there. */
async function removeRemains(path: string): Promise<void> {
  for (const folder of [path, join(path, "containerd")]) {
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter(isStagingName)) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}

function requireRoot(): void {
  const user = process.geteuid?.();
  if (user !== 0) {
    throw new SetupError({ found: `user id ${user}`, needed: "root, for mounts and for containerd" });
  }
}

function requireAmd64(): void {
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new SetupError({ found: `${process.platform} on ${process.arch}`, needed: "Linux on x86-64" });
  }
}

async function requireFile(path: string, what: string): Promise<void> {
  await access(path).catch((cause: unknown) => {
    throw new SetupError({ found: `no file ${path}`, needed: what }, { cause });
  });
}
