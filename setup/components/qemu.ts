import { existsSync } from "node:fs";
import { join } from "node:path";
import { type CommandError, capture } from "../command.js";
import type { Component } from "../component.js";
import type { Debian } from "../debian/suites.js";
import { unpack } from "../debian/unpack.js";
import { SetupError } from "../setup-error.js";
import { commandOf, foreignProgram } from "./foreign-program.js";

const PROGRAM = "usr/bin/qemu-system-x86_64";

/** What a QEMU has to be. */
interface Requirement {
  readonly oldest: readonly [major: number, minor: number];
  readonly device: string;
  readonly needed: string;
}

/** The first QEMU whose generic vhost-user device maps shared memory that the back end offers. */
const WITH_DAX: Requirement = {
  oldest: [11, 1],
  device: "vhost-user-test-device-pci",
  needed: 'QEMU 11.1 or newer for DAX, or "dax: off" in the configuration',
};

const WITHOUT_DAX: Requirement = {
  oldest: [7, 2],
  device: "vhost-user-fs-pci",
  needed: "QEMU 7.2 or newer",
};

/** A QEMU and how to start it. */
export interface Qemu {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly version: string;
}

/** Debian's QEMU from trixie-backports with everything that it links to. */
export function qemuComponent(directory: string, debian: Debian): Component {
  return {
    title: "QEMU",
    directory,
    provides: [PROGRAM],
    recipe: "trixie-backports qemu-system-x86 1",
    async build(staging, step) {
      const root = await debian.root("trixie");
      const packages = await root.download(
        { packages: ["qemu-system-x86"], targetSuite: "trixie-backports", withDependencies: true },
        step,
      );
      await unpack(packages, staging, step);
      const { version } = await probeQemu(privateQemu(staging), true);
      return `${version}, ${packages.length} packages`;
    },
  };
}

/** Debian 12's QEMU, which has no DAX: the oldest that kata-fs and its daemon are used with. */
export function olderQemuComponent(directory: string, debian: Debian): Component {
  return {
    title: "QEMU of Debian 12",
    directory,
    provides: [PROGRAM],
    recipe: "bookworm qemu-system-x86 1",
    async build(staging, step) {
      const root = await debian.root("bookworm");
      const packages = await root.download({ packages: ["qemu-system-x86"], withDependencies: true }, step);
      await unpack(packages, staging, step);
      const { version } = await probeQemu(privateQemu(staging), false);
      return `${version}, ${packages.length} packages`;
    },
  };
}

/** The command that starts the QEMU unpacked in `directory`; `preload` as in {@link commandOf}. */
export function privateQemu(directory: string, preload?: string): Pick<Qemu, "argv" | "env"> {
  const program = foreignProgram(directory, PROGRAM);
  const data = ["usr/share/qemu", "usr/share/seabios"]
    .map((path) => join(directory, path))
    .filter(existsSync);
  return {
    argv: [...commandOf(program, preload), ...data.flatMap((path) => ["-L", path])],
    env: { QEMU_MODULE_DIR: join(directory, "usr/lib/x86_64-linux-gnu/qemu") },
  };
}

/** The machine's own QEMU when it can do what is wanted, undefined when there is none or it cannot. */
export async function adequateSystemQemu(dax: boolean): Promise<Qemu | undefined> {
  try {
    return await probeQemu({ argv: ["qemu-system-x86_64"], env: {} }, dax);
  } catch (error) {
    if (error instanceof SetupError) return undefined;
    throw error;
  }
}

/**
 * Asks a QEMU for its version and for the device that virtio-fs needs, with DAX or without.
 *
 * @throws SetupError when it does not start, is too old, or lacks the device.
 */
export async function probeQemu({ argv, env }: Pick<Qemu, "argv" | "env">, dax: boolean): Promise<Qemu> {
  const environment = { ...process.env, LC_ALL: "C", ...env };
  const ask = (...question: string[]) =>
    capture([...argv, ...question], { env: environment }).catch((cause: CommandError) => {
      throw new SetupError(
        { found: `no QEMU at ${argv[0]}: ${cause.message}`, needed: (dax ? WITH_DAX : WITHOUT_DAX).needed },
        { cause },
      );
    });
  const version = /version (\d+\.\d+[\d.]*)/.exec((await ask("--version")).stdout)?.[1];
  const path = argv.find((word) => word.endsWith("qemu-system-x86_64")) ?? argv[0];
  const { oldest, device, needed } = dax ? WITH_DAX : WITHOUT_DAX;
  if (version === undefined || !isAtLeast(version, oldest)) {
    throw new SetupError({ found: `QEMU ${version ?? "of unknown version"} at ${path}`, needed });
  }
  const devices = await ask("-machine", "none", "-device", "help");
  if (!devices.stdout.includes(`"${device}"`)) {
    throw new SetupError({
      found: `QEMU ${version} at ${path} without ${device}`,
      needed: "a build with that device",
    });
  }
  return { argv, env, version };
}

/** Compares "11.1.3" with [11, 1]. */
export function isAtLeast(version: string, [wantedMajor, wantedMinor]: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}
