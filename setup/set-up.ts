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
import { adequateSystemQemu, privateQemu, probeQemu, type Qemu, qemuComponent } from "./components/qemu.js";
import { findCompiler, SHMEM_PRELOAD, shmemPreloadComponent } from "./components/shmem-preload.js";
import { findTestTools, testComponents } from "./components/test-tools.js";
import { configurationFor } from "./config-file.js";
import { Debian } from "./debian/suites.js";
import { nodeModulesWith } from "./node-modules.js";
import type { Overrides } from "./overrides.js";
import type { PrivateDirectory } from "./private-directory.js";
import type { Progress } from "./progress.js";
import { SetupError } from "./setup-error.js";
import { type Toolchain, writeIfChanged } from "./toolchain.js";

/** Key of the machine's own containerd in {@link Toolchain.containerd}. */
const MACHINES_OWN = "machine";

export interface SetUpOptions {
  readonly directory: PrivateDirectory;
  /** The repository, built, or the installed package. */
  readonly project: string;
  /** Which containerd is wanted, see {@link setUpContainerd}: "any", "all", "none", or a series such as "1.6". */
  readonly containerd: string;
  /** True to bring what only tests use as well. */
  readonly forTests: boolean;
  /** What the user's configuration sets: a QEMU of his own, DAX off. */
  readonly overrides: Overrides;
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
    const dax = options.overrides.daemon?.dax !== false;
    const preload = await shmemPreloadComponent(
      directory.shmemPreload,
      join(project, "setup/shmem-preload/shmem-preload.c"),
    );
    // Before the downloads, which take a while; the library is cheap to build and comes after them.
    if (dax && !(await isInstalled(preload))) await findCompiler();
    const givenQemu = await findQemu(options.overrides, dax);
    if (givenQemu === undefined) await install(qemuComponent(directory.qemu, debian), progress);
    const containerd = await setUpContainerd(options, debian);
    // runc is there to compare with, where containers are run.
    if (options.containerd !== "none") await install(runcComponent(directory.runc, debian), progress);
    await setUpGuest(options, debian);
    if (dax) await install(preload, progress);
    const guestRoot = join(directory.guest, GuestFiles.root);
    const forTests = testComponents(directory.testing, guestRoot, debian);
    if (options.forTests) for (const component of forTests) await install(component, progress);

    const shmemPreload = dax ? join(directory.shmemPreload, SHMEM_PRELOAD) : undefined;
    const toolchain: Toolchain = {
      qemu: givenQemu
        ? preloaded(givenQemu, shmemPreload)
        : await probeQemu(privateQemu(directory.qemu, shmemPreload), dax),
      kernel: join(directory.guest, GuestFiles.kernel),
      guestRoot,
      shmemPreload,
      firmware: "qboot.rom",
      runc: join(directory.runc, "runc"),
      containerd,
      testing: await findTestTools(directory.testing, forTests),
    };
    await writeIfChanged(
      directory.toolchainFile,
      `${JSON.stringify(toolchain, undefined, 2)}
`,
    );
    await writeIfChanged(directory.configFile, configurationFor(toolchain));
    return toolchain;
  } finally {
    await rm(directory.apt, { recursive: true, force: true });
    await removeIfEmpty(directory.path);
  }
}

/** `qemu` with a library that its loader loads before the others. */
function preloaded(qemu: Qemu, library: string | undefined): Qemu {
  return library === undefined ? qemu : { ...qemu, env: { ...qemu.env, LD_PRELOAD: library } };
}

/** The QEMU that the user's configuration names, which then must do, or the machine's own, if it does. */
async function findQemu({ hypervisor }: Overrides, dax: boolean): Promise<Qemu | undefined> {
  if (hypervisor?.argv === undefined) return adequateSystemQemu(dax);
  const argv = typeof hypervisor.argv === "string" ? [hypervisor.argv] : hypervisor.argv;
  return probeQemu({ argv, env: hypervisor.env ?? {} }, dax);
}

/**
 * Sees to the containerd that is `wanted`: "any" is the machine's own if it will do, a private one otherwise; "all" are the
 * series that the tests cover; "none" brings nothing. Returns it together with whatever else is there already.
 */
async function setUpContainerd(
  { directory, progress, containerd: wanted }: SetUpOptions,
  debian: Debian,
): Promise<Toolchain["containerd"]> {
  const system = await adequateSystemContainerd();
  const found: Record<string, Containerd> = system === undefined ? {} : { [MACHINES_OWN]: system };
  const hasWanted = wanted === "none" || (wanted === "any" && system !== undefined);
  const wantedSeries = hasWanted ? [] : seriesFor(wanted);
  for (const series of seriesFor("all")) {
    const component = containerdComponent(directory.containerd(series), series, debian);
    if (wantedSeries.includes(series)) await install(component, progress);
    if (await isInstalled(component)) found[series] = await privateContainerd(component.directory);
  }
  return found;
}

/** The containerd of `toolchain` that `wanted` means; "any" and "all" mean the machine's own or the usual one. */
export function chooseContainerd({ containerd }: Toolchain, wanted: string): Containerd {
  const names =
    wanted === "any" || wanted === "all" ? [MACHINES_OWN, ...seriesFor("any")] : seriesFor(wanted);
  const chosen = names.map((name) => containerd[name]).find((candidate) => candidate !== undefined);
  if (chosen === undefined)
    throw new SetupError({ found: `no containerd ${wanted}`, needed: "set-up for it" });
  return chosen;
}

async function setUpGuest({ directory, project, progress }: SetUpOptions, debian: Debian): Promise<void> {
  const sources = { node: process.execPath, nodeModules: nodeModulesWith("koffi", project) };
  await install(await guestComponent(directory.guest, sources, debian), progress);
  await installAgent(directory.guest, join(project, "dist"));
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
  for (const folder of [path, join(path, "containerd"), join(path, "testing")]) {
    const names = await readdir(folder).catch(() => []);
    for (const name of names.filter(isStagingName)) {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}
