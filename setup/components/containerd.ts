import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CommandError, capture, run } from "../command.js";
import type { Component } from "../component.js";
import type { Debian, Release } from "../debian/suites.js";
import { unpack } from "../debian/unpack.js";
import { SetupError } from "../setup-error.js";

/** A containerd and its client. */
export interface Containerd {
  /** Path or name in PATH. */
  readonly daemon: string;
  readonly ctr: string;
  /** Such as "1.7.24~ds1". */
  readonly version: string;
}

/** The series that kata-fs is tested with, and the Debian release that has each. */
const SERIES: ReadonlyMap<string, Release> = new Map([
  ["1.6", "bookworm"],
  ["1.7", "trixie"],
  ["2.1", "sid"],
]);

const DEFAULT_SERIES = "1.7";

/**
 * The series meant by "all", "any" or the name of one.
 *
 * @throws SetupError when there is no such series.
 */
export function seriesFor(wanted: string): readonly string[] {
  if (wanted === "all") return [...SERIES.keys()];
  if (wanted === "any") return [DEFAULT_SERIES];
  releaseOf(wanted);
  return [wanted];
}

function releaseOf(series: string): Release {
  const release = SERIES.get(series);
  if (release === undefined) {
    throw new SetupError({
      found: `containerd ${series}`,
      needed: `one of ${[...SERIES.keys()].join(", ")}`,
    });
  }
  return release;
}

const OLDEST_MAJOR_MINOR = /^(1\.[67]|[2-9]\.\d+)/;

/** containerd of one series: its binaries need nothing but a C library, so no dependency is fetched. */
export function containerdComponent(directory: string, series: string, debian: Debian): Component {
  const release = releaseOf(series);
  return {
    title: `containerd ${series}`,
    directory,
    provides: ["usr/bin/containerd", "usr/bin/ctr"],
    recipe: `${release} containerd 1`,
    async build(staging, step) {
      const root = await debian.root(release);
      const packages = await root.download({ packages: ["containerd"], withDependencies: false }, step);
      await unpack(packages, staging, step);
      return (await probeContainerd(join(staging, "usr/bin"))).version;
    },
  };
}

/** The containerd that {@link containerdComponent} put into `directory`. */
export function privateContainerd(directory: string): Promise<Containerd> {
  return probeContainerd(join(directory, "usr/bin"));
}

/** The machine's own containerd, when it and ctr are in PATH and one of the series that kata-fs works with. */
export async function adequateSystemContainerd(): Promise<Containerd | undefined> {
  try {
    const found = await probeContainerd();
    await run(["ctr", "--version"]);
    return OLDEST_MAJOR_MINOR.test(found.version) ? found : undefined;
  } catch (error) {
    if (error instanceof CommandError) return undefined;
    throw error;
  }
}

async function probeContainerd(folder?: string): Promise<Containerd> {
  const daemon = folder === undefined ? "containerd" : join(folder, "containerd");
  const ctr = folder === undefined ? "ctr" : join(folder, "ctr");
  const { stdout } = await capture([daemon, "--version"]);
  const version = /^containerd \S+ v?(\d[^\s]*)/.exec(stdout)?.[1] ?? "unknown";
  return { daemon, ctr, version };
}

/**
 * runc, to compare with. It re-executes itself by /proc/self/exe, which rules out a private loader; a wrapper gives it
 * its one uncommon library instead.
 */
export function runcComponent(directory: string, debian: Debian): Component {
  return {
    title: "runc",
    directory,
    provides: ["runc"],
    recipe: "bookworm runc libseccomp2 1",
    async build(staging, step) {
      const root = await debian.root("bookworm");
      const packages = await root.download(
        { packages: ["runc", "libseccomp2"], withDependencies: false },
        step,
      );
      await unpack(packages, staging, step);
      const wrapper = join(staging, "runc");
      await writeFile(wrapper, wrapperScript(directory));
      await chmod(wrapper, 0o755);
      const { stdout } = await run([join(staging, "usr/sbin/runc"), "--version"], {
        env: { ...process.env, LD_LIBRARY_PATH: join(staging, LIBRARIES) },
      });
      return /^runc version (\S+)/.exec(stdout)?.[1] ?? "unknown version";
    },
  };
}

const LIBRARIES = "usr/lib/x86_64-linux-gnu";

function wrapperScript(directory: string): string {
  return `#!/bin/sh
LD_LIBRARY_PATH='${join(directory, LIBRARIES)}' exec '${join(directory, "usr/sbin/runc")}' "$@"
`;
}
