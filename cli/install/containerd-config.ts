import { parseToml } from "../../configs/toml.js";
import { InstallError } from "./error.js";

/** The forms of containerd's configuration: 2 for containerd 1.6 and 1.7, 3 for 2.x, which reads 2 as well. */
export type ConfigVersion = 2 | 3;

/** The plugin that has the runtimes. */
const CRI_PLUGIN: Readonly<Record<ConfigVersion, string>> = {
  2: "io.containerd.grpc.v1.cri",
  3: "io.containerd.cri.v1.runtime",
};

const BEGIN = "# BEGIN kata-fs: written by `kata-fs install`, taken out by `kata-fs uninstall`.";
const END = "# END kata-fs";
/** The break before BEGIN belongs to the block: without it the text is what it was, whether or not it ended with one. */
const BLOCK = new RegExp(`\\n${BEGIN.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")}\\n[^]*?\\n${END}\\n`);

export interface Runtime {
  /** The runtime's name in containerd, which a RuntimeClass calls its handler. */
  readonly handler: string;
  /** The configuration of kata-fs. */
  readonly configPath: string;
}

/** The tables for CRI. `ctr` and nerdctl need none: they name the shim. */
export function runtimeTables(version: ConfigVersion, { handler, configPath }: Runtime): string {
  const table = `plugins.${JSON.stringify(CRI_PLUGIN[version])}.containerd.runtimes.${handler}`;
  return `\
[${table}]
  runtime_type = "io.containerd.kata-fs.v2"
  # Kata's annotations of a pod, such as io.katacontainers.config.hypervisor.default_memory, reach the shim.
  pod_annotations = ["io.katacontainers.*"]
  container_annotations = ["io.katacontainers.*"]
  # A privileged container gets all capabilities in its guest, not the host's devices.
  privileged_without_host_devices = true

  [${table}.options]
    ConfigPath = ${JSON.stringify(configPath)}
`;
}

/**
 * The table of containerd's default runtime, if `toml` names no runtime: what comes with containerd 1.6 and 1.7 goes as soon as a
 * configuration of version 2 names one, and then their CRI plugin, whose default runtime is runc, does not start.
 */
export function defaultRuntimeTable(toml: string, name: string): string {
  const path = ["plugins", CRI_PLUGIN[2], "containerd", "runtimes"];
  const parsed = parseToml(toml, name);
  if (configVersionOf(toml, name) !== 2 || isPresent(parsed, path)) return "";
  return `
[plugins.${JSON.stringify(CRI_PLUGIN[2])}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`;
}

/**
 * The version that a configuration of containerd says it has.
 *
 * @param name of the file, for errors
 * @throws InstallError for another version than 2 and 3; ConfigError for text that is no TOML
 */
export function configVersionOf(toml: string, name: string): ConfigVersion {
  const { version } = { version: undefined, ...parseToml(toml, name) };
  if (version === 2 || version === 3) return version;
  throw new InstallError({
    found: `${name} has ${version === undefined ? "no version" : `version ${version}`}`,
    needed: "version = 2 for containerd 1.6 and 1.7, version = 3 for 2.x, as its first line",
  });
}

/**
 * A configuration with the tables of the runtime at its end, in place of those that an earlier installation put there.
 *
 * They are in the file itself, not in one that it imports: containerd 1.6 and 1.7 let an imported file replace all settings of a plugin that it
 * mentions.
 *
 * @throws InstallError when somebody else has put a runtime of this name there
 */
export function withRuntime(toml: string, tables: string, handler: string, name: string): string {
  const bare = withoutRuntime(toml);
  if (hasRuntime(bare, handler, name)) {
    throw new InstallError({
      found: `${name} has a runtime ${handler} already, which kata-fs install did not write`,
      needed: "that it is taken out, or another name with --handler",
    });
  }
  return `${bare}\n${BEGIN}\n${tables}${defaultRuntimeTable(bare, name)}${END}\n`;
}

/** A configuration as it was before {@link withRuntime}. */
export function withoutRuntime(toml: string): string {
  return toml.replace(BLOCK, "");
}

/** Whether a configuration has a runtime of this name, in either form. */
export function hasRuntime(toml: string, handler: string, name: string): boolean {
  const parsed = parseToml(toml, name);
  return Object.values(CRI_PLUGIN).some((plugin) =>
    isPresent(parsed, ["plugins", plugin, "containerd", "runtimes", handler]),
  );
}

function isPresent(value: unknown, path: readonly string[]): boolean {
  const [key, ...rest] = path;
  if (key === undefined) return true;
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return false;
  return isPresent(Object.entries(value).find(([name]) => name === key)?.[1], rest);
}
