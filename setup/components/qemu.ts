import { existsSync } from "node:fs";
import { join } from "node:path";
import { CommandError, capture } from "../command.js";
import type { Component } from "../component.js";
import type { Debian } from "../debian/suites.js";
import { unpack } from "../debian/unpack.js";
import { SetupError } from "../setup-error.js";
import { commandOf, foreignProgram } from "./foreign-program.js";

/** The first QEMU whose generic vhost-user device maps shared memory that the back end offers. */
export const OLDEST_QEMU: readonly [number, number] = [11, 1];

const PROGRAM = "usr/bin/qemu-system-x86_64";
const TEST_DEVICE = "vhost-user-test-device-pci";

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
      await root.clean();
      const { version } = await probeQemu(privateQemu(staging));
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

/** The machine's own QEMU when it can do DAX, undefined when there is none or it cannot. */
export async function adequateSystemQemu(): Promise<Qemu | undefined> {
  try {
    return await probeQemu({ argv: ["qemu-system-x86_64"], env: {} });
  } catch (error) {
    if (error instanceof SetupError || error instanceof CommandError) return undefined;
    throw error;
  }
}

/**
 * Asks a QEMU for its version and for the device that DAX needs.
 *
 * @throws SetupError when it is too old or lacks the device; CommandError when it does not start.
 */
export async function probeQemu({ argv, env }: Pick<Qemu, "argv" | "env">): Promise<Qemu> {
  const environment = { ...process.env, LC_ALL: "C", ...env };
  const { stdout } = await capture([...argv, "--version"], { env: environment });
  const version = /version (\d+\.\d+[\d.]*)/.exec(stdout)?.[1];
  const path = argv.find((word) => word.endsWith("qemu-system-x86_64")) ?? argv[0];
  if (version === undefined || !isAtLeast(version, OLDEST_QEMU)) {
    throw new SetupError({
      found: `QEMU ${version ?? "of unknown version"} at ${path}`,
      needed: `QEMU ${OLDEST_QEMU.join(".")} or newer for DAX, or "dax: off" in the configuration`,
    });
  }
  const devices = await capture([...argv, "-machine", "none", "-device", "help"], { env: environment });
  if (!devices.stdout.includes(`"${TEST_DEVICE}"`)) {
    throw new SetupError({
      found: `QEMU ${version} at ${path} without ${TEST_DEVICE}`,
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
