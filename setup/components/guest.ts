import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { zstdPayload } from "../../guest/kernel-image.js";
import { copyModules } from "../../guest/kernel-modules.js";
import { GUEST_MODULES, GuestLayout } from "../../guest/layout.js";
import { copyNodeRuntime } from "../../guest/node-runtime.js";
import { createSkeleton, finishOsDirectory } from "../../guest/os-directory.js";
import { run } from "../command.js";
import type { Component } from "../component.js";
import type { Debian } from "../debian/suites.js";
import { unpack } from "../debian/unpack.js";
import type { Step } from "../progress.js";
import { SetupError } from "../setup-error.js";
import { commandOf, foreignProgram } from "./foreign-program.js";

/** Metapackage that depends on Debian 13's current kernel for virtual machines. */
const KERNEL_METAPACKAGE = "linux-image-cloud-amd64";

const OS_PACKAGES = ["busybox-static", "crun"];
const GUEST_BUSYBOX = "usr/bin/busybox";

/** What the agent loads from the npm tree rather than from its bundle: koffi's CommonJS files and its native module. */
const KOFFI = "koffi";
const KOFFI_NATIVE = "@koromix/koffi-linux-x64";
const KOFFI_ADDON = join(KOFFI_NATIVE, "linux_x64/koffi.node");
const LOADED_AT_RUN_TIME = /\/(package\.json|index\.js|[^/]+\.cjs|linux_x64\/koffi\.node)$/;

/** Names in the guest component's directory. */
export const GuestFiles = { kernel: "kernel", root: "root" } as const;

/** What the guest is made of besides Debian's packages. */
export interface GuestSources {
  /** The Node.js executable to copy. */
  readonly node: string;
  /** The project's node_modules. */
  readonly nodeModules: string;
}

/** The guest: Debian 13's kernel for virtual machines and the directory that is its root file system. */
export async function guestComponent(
  directory: string,
  { node, nodeModules }: GuestSources,
  debian: Debian,
): Promise<Component> {
  return {
    title: "guest kernel and OS directory",
    directory,
    provides: [GuestFiles.kernel, join(GuestFiles.root, GuestLayout.init)],
    recipe: JSON.stringify([
      7,
      KERNEL_METAPACKAGE,
      OS_PACKAGES,
      GUEST_MODULES,
      await identityOf(node, nodeModules),
    ]),
    async build(staging, step) {
      const root = join(staging, GuestFiles.root);
      await mkdir(root);
      await createSkeleton(root);
      const apt = await debian.root("trixie");
      await unpack(await apt.download({ packages: OS_PACKAGES, withDependencies: true }, step), root, step);
      await finishOsDirectory(root);

      step.update("Node.js");
      await copyKoffi(nodeModules, join(root, GuestLayout.nodeModules));
      await copyNodeRuntime(join(root, GuestLayout.node), node, [join(nodeModules, KOFFI_ADDON)]);

      const release = await installKernel(staging, root, debian, step);
      return `Linux ${release}, Node.js ${process.versions.node}`;
    },
  };
}

/**
 * Brings the agent's bundles in the guest's root up to date with those in `dist`. Guests that run keep the files they have: they are
 * replaced, not overwritten. V8 compiles the agent here, once, for all guests: their Node.js is the one that runs set-up.
 */
export async function installAgent(guestDirectory: string, dist: string): Promise<void> {
  const root = join(guestDirectory, GuestFiles.root);
  const targets = [GuestLayout.agentMainBundle, GuestLayout.agentBundle].map((path) => join(root, path));
  const codeCache = join(root, GuestLayout.agentCodeCache);
  const bundles = await Promise.all(targets.map((target) => readFile(join(dist, basename(target)))));
  const present = await Promise.all([...targets, codeCache].map(readIfPresent));
  if (bundles.every((bundle, index) => present[index]?.equals(bundle)) && present.at(-1) !== undefined)
    return;
  // V8 tells code of another source only by its length, so the old code goes first.
  await rm(codeCache, { force: true });
  for (const [index, target] of targets.entries()) {
    await writeFile(`${target}.new`, bundles[index] ?? "");
    await rename(`${target}.new`, target);
  }
  // In an environment of its own: options for Node.js would make it code for another V8.
  await run([process.execPath, join(root, GuestLayout.agentBundle), "--make-code-cache"], { env: {} });
}

async function readIfPresent(file: string): Promise<Buffer | undefined> {
  return readFile(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
}

/** Puts the kernel into `staging` and the modules into `root`; returns the kernel's release. */
async function installKernel(staging: string, root: string, debian: Debian, step: Step): Promise<string> {
  const apt = await debian.root("trixie");
  const image = (await apt.dependencies(KERNEL_METAPACKAGE)).find((name) => /^linux-image-\d/.test(name));
  if (image === undefined) throw noKernel(`Debian's ${KERNEL_METAPACKAGE} names no kernel`);
  const unpacked = join(staging, "kernel-package");
  await unpack(await apt.download({ packages: [image], withDependencies: false }, step), unpacked, step);

  const vmlinuz = (await readdir(join(unpacked, "boot"))).find((name) => name.startsWith("vmlinuz-"));
  if (vmlinuz === undefined) throw noKernel(`${image} has no boot/vmlinuz`);
  const release = vmlinuz.slice("vmlinuz-".length);
  await installImage(join(unpacked, "boot", vmlinuz), join(staging, GuestFiles.kernel), debian, step);

  step.update("kernel modules");
  await installModules(unpacked, release, root, root);
  await rm(unpacked, { recursive: true });
  return release;
}

/**
 * Puts the modules of a kernel that guests need to where a guest OS directory at `target` has them.
 *
 * @param unpacked the package
 * @param tools a guest OS directory with busybox
 */
export async function installModules(
  unpacked: string,
  release: string,
  target: string,
  tools: string,
): Promise<void> {
  const folder = join(GuestLayout.kernelModules, release);
  const modules = await copyModules(
    await existing(join(unpacked, folder), join(unpacked, "lib/modules", release)),
    join(target, folder),
    Object.values(GUEST_MODULES),
    [join(tools, GUEST_BUSYBOX), "unxz", "-c"],
  );
  const list = modules.map((group) => group.map((path) => `/${folder}/${path}\n`).join(""));
  await mkdir(dirname(join(target, GuestLayout.moduleList)), { recursive: true });
  await writeFile(join(target, GuestLayout.moduleList), list.join("\n"));
}

/** Puts the kernel to `target`, decompressed if it can be: that saves every guest the work. */
export async function installImage(image: string, target: string, debian: Debian, step: Step): Promise<void> {
  const payload = zstdPayload(await readFile(image));
  if (payload === undefined) {
    await rename(image, target);
    return;
  }
  const tools = `${target}-tools`;
  const apt = await debian.root("trixie");
  await unpack(await apt.download({ packages: ["zstd"], withDependencies: true }, step), tools, step);
  step.update("decompressing the kernel");
  const compressed = join(tools, "kernel.zst");
  await writeFile(compressed, payload);
  await run([...commandOf(foreignProgram(tools, "usr/bin/zstd")), "-d", "-q", compressed, "-o", target]);
  await rm(tools, { recursive: true });
}

async function copyKoffi(nodeModules: string, target: string): Promise<void> {
  for (const name of [KOFFI, KOFFI_NATIVE]) {
    const files = await readdir(join(nodeModules, name), { recursive: true, encoding: "utf8" });
    for (const file of files.filter((file) => LOADED_AT_RUN_TIME.test(`/${file}`))) {
      await mkdir(dirname(join(target, name, file)), { recursive: true });
      await cp(join(nodeModules, name, file), join(target, name, file));
    }
  }
}

/** Changes with the Node.js executable and with the native module. */
async function identityOf(node: string, nodeModules: string): Promise<string> {
  const { size, mtimeMs } = await stat(node);
  const koffi = await readFile(join(nodeModules, "koffi/package.json"), "utf8");
  return `${process.versions.node} ${size} ${mtimeMs} ${createHash("sha256").update(koffi).digest("hex")}`;
}

async function existing(first: string, second: string): Promise<string> {
  return stat(first).then(
    () => first,
    () => second,
  );
}

function noKernel(found: string): SetupError {
  return new SetupError({ found, needed: "a guest kernel: linux-image of Debian 13, flavour cloud-amd64" });
}
