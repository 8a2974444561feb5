import { existsSync, readFileSync, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { commentedConfiguration } from "../../configs/commented.js";
import { type Change, missingDirectories, sha256 } from "./changes.js";
import {
  type ConfigVersion,
  configVersionOf,
  defaultRuntimeTable,
  runtimeTables,
  withRuntime,
} from "./containerd-config.js";
import { InstallError } from "./error.js";
import type { InstallOptions } from "./options.js";
import { type InstallRecord, recordPath } from "./record.js";

/** The commands of the package. */
export const COMMAND_NAMES = ["containerd-shim-kata-fs-v2", "kata-fs", "kata-fsd"] as const;

/** PATH of a service of systemd, such as containerd. */
export const SERVICE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/** What an installation depends on besides its options. */
export interface InstallFacts {
  /** dist/bin of the package. */
  readonly commands: string;
  /** The Node.js that runs this command. */
  readonly node: string;
  /** The form of configuration that the machine's containerd writes itself. */
  readonly containerdVersion: ConfigVersion;
  /** The configuration that set-up made; undefined without set-up. */
  readonly setUpConfig: string | undefined;
  /** The directory that set-up makes for the first time; undefined when it is there already, or not asked for. */
  readonly assets: string | undefined;
}

/**
 * Everything that an installation changes, in order. The last change is the record of all.
 *
 * @throws InstallError when something is in the way
 */
export function planInstall(options: InstallOptions, facts: InstallFacts): readonly Change[] {
  const record = recordPath(options.config);
  if (existsSync(record)) {
    throw new InstallError({
      found: `an installation of which ${record} tells`,
      needed: "kata-fs uninstall first",
    });
  }
  const changes: Change[] = [];
  const add = (change: Change) => {
    const planned = new Set(changes.map(({ path }) => path));
    for (const path of missingDirectories(change.path)) {
      if (!planned.has(path)) changes.push({ kind: "directory", path });
    }
    changes.push(change);
  };
  if (!existsSync(options.config)) add(newConfiguration(options.config, facts));
  for (const name of COMMAND_NAMES) {
    const path = join(options.bin, name);
    const target = join(facts.commands, name);
    if (path !== target && !isOurs(path, target)) add(command(path, target, facts.node));
  }
  add(containerdChange(options, facts));
  const made = recordOf(changes, facts.assets);
  add({ kind: "file", path: record, contents: `${JSON.stringify(made, undefined, 2)}\n`, mode: 0o644 });
  return changes;
}

function newConfiguration(path: string, { setUpConfig }: InstallFacts): Change {
  const contents =
    setUpConfig !== undefined && existsSync(setUpConfig)
      ? readFileSync(setUpConfig, "utf8")
      : commentedConfiguration();
  return { kind: "file", path, contents, mode: 0o644 };
}

/** npm links a global package's commands itself, perhaps to this very place. */
function isOurs(path: string, target: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  const wanted = statSync(target);
  if (found.ino === wanted.ino && found.dev === wanted.dev) return true;
  throw new InstallError({
    found: `another ${path}`,
    needed: "that it is removed, or another directory with --bin",
  });
}

/** A link; where containerd would find no Node.js, or an old one, a script that names the one at hand. */
function command(path: string, target: string, node: string): Change {
  const found = SERVICE_PATH.split(delimiter)
    .map((directory) => join(directory, "node"))
    .find((candidate) => existsSync(candidate));
  if (found !== undefined && isSameFile(found, node)) return { kind: "link", path, target };
  const contents = `#!/bin/sh\nKATA_FS_NODE=\${KATA_FS_NODE:-'${node}'} exec '${target}' "$@"\n`;
  return { kind: "file", path, contents, mode: 0o755 };
}

function isSameFile(first: string, second: string): boolean {
  const a = statSync(first);
  const b = statSync(second);
  return a.ino === b.ino && a.dev === b.dev;
}

function containerdChange(options: InstallOptions, { containerdVersion }: InstallFacts): Change {
  const { containerdConfig: path, handler, config: configPath } = options;
  if (!existsSync(path)) {
    const bare = `version = ${containerdVersion}\n`;
    const tables = runtimeTables(containerdVersion, { handler, configPath });
    const contents = `${bare}\n${tables}${defaultRuntimeTable(bare, path)}`;
    return { kind: "file", path, contents, mode: 0o644 };
  }
  const previous = readFileSync(path, "utf8");
  const version = configVersionOf(previous, path);
  const tables = runtimeTables(version, { handler, configPath });
  return { kind: "edit", path, previous, contents: withRuntime(previous, tables, handler, path) };
}

function recordOf(changes: readonly Change[], assets: string | undefined): InstallRecord {
  return {
    version: 1,
    directories: changes.flatMap((change) => (change.kind === "directory" ? [change.path] : [])),
    files: changes.flatMap((change) =>
      change.kind === "file" ? [{ path: change.path, sha256: sha256(change.contents) }] : [],
    ),
    links: changes.flatMap((change) =>
      change.kind === "link" ? [{ path: change.path, target: change.target }] : [],
    ),
    containerdConfig: changes.find(({ kind }) => kind === "edit")?.path,
    assets,
  };
}

/** The directory of the package's commands. @param bundle path of a file in dist/ */
export function commandsBeside(bundle: string): string {
  return join(dirname(bundle), "bin");
}
