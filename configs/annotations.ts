import { availableParallelism } from "node:os";
import { normalize } from "node:path";
import { globExpression } from "../lib/glob.js";
import { nearest } from "../lib/nearest.js";
import { ConfigError } from "./config-error.js";
import type { AnnotationsConfiguration, Configuration } from "./configuration.js";
import { readSettings } from "./parse.js";
import type { Settings } from "./settings.js";

/** Kata's prefix for annotations that change the configuration of a sandbox. */
export const ANNOTATION_PREFIX = "io.katacontainers.config.";

/** Names a configuration file to Kata's runtimes. Here the administrator alone chooses the file. */
const CONFIG_PATH_ANNOTATION = "io.katacontainers.config_path";

type PathList = Exclude<keyof AnnotationsConfiguration, "enable" | "ignore">;

/** What an annotation sets, as a configuration file would: checked like one. */
interface Rule {
  /** For a path: the list in which it has to be. */
  readonly paths?: PathList;
  /** @param current the configuration without annotations */
  set(text: string, current: Configuration): object;
}

/** The annotations that have an effect, by name without {@link ANNOTATION_PREFIX}. docs/configuration.md lists them. */
export const ANNOTATION_RULES: Readonly<Record<string, Rule>> = {
  "hypervisor.default_vcpus": {
    set: (text, { hypervisor }) => ({ hypervisor: { cpus: processors(numberIn(text), hypervisor.cpus) } }),
  },
  "hypervisor.default_memory": { set: (text) => ({ hypervisor: { memoryMiB: numberIn(text) } }) },
  "hypervisor.kernel_params": {
    set: (text, { hypervisor }) => ({
      hypervisor: { kernelParameters: `${hypervisor.kernelParameters} ${text}`.trim() },
    }),
  },
  "hypervisor.path": { paths: "hypervisorPaths", set: (text) => ({ hypervisor: { argv: [text] } }) },
  "hypervisor.kernel": { paths: "kernelPaths", set: (text) => ({ hypervisor: { kernel: text } }) },
  "hypervisor.image": { paths: "kernelPaths", set: (text) => ({ guest: { image: text } }) },
  "hypervisor.initrd": { paths: "kernelPaths", set: (text) => ({ guest: { initrd: text } }) },
  "hypervisor.default_max_vcpus": { set: (text) => ({ hypervisor: { maxCpus: numberIn(text) } }) },
  "hypervisor.firmware": { paths: "firmwarePaths", set: (text) => ({ hypervisor: { firmware: text } }) },
  "hypervisor.virtio_fs_daemon": { paths: "daemonPaths", set: (text) => ({ daemon: { path: text } }) },
  "runtime.create_container_timeout": {
    set: (text) => ({ timeLimits: { agentCallSeconds: numberIn(text) } }),
  },
  "hypervisor.virtio_fs_cache_size": {
    set: (text) =>
      text === "0" ? { daemon: { dax: "off" } } : { daemon: { dax: "on", daxWindowMiB: numberIn(text) } },
  },
};

/**
 * What the annotations of a sandbox set, a layer for each of them.
 *
 * @param current the configuration without them
 * @throws ConfigError for an annotation that is not enabled, has no effect here, or has a value that cannot be used
 */
export function annotationSettings(
  annotations: Readonly<Record<string, string>>,
  current: Configuration,
): readonly Settings[] {
  const { enable, ignore } = current.annotations;
  if (Object.hasOwn(annotations, CONFIG_PATH_ANNOTATION)) {
    throw new ConfigError(
      `annotation ${CONFIG_PATH_ANNOTATION} is not supported; needed: a runtime in containerd's configuration whose ConfigPath is that file`,
    );
  }
  const layers: Settings[] = [];
  for (const [annotation, text] of Object.entries(annotations)) {
    if (!annotation.startsWith(ANNOTATION_PREFIX)) continue;
    const name = annotation.slice(ANNOTATION_PREFIX.length);
    if (isMatched(name, ignore)) continue;
    if (!isMatched(name, enable)) {
      throw new ConfigError(
        `annotation ${annotation} is not enabled; needed: annotations.enable with a pattern for ${name} in the configuration`,
      );
    }
    layers.push(settingsOf(annotation, name, text, current));
  }
  return layers;
}

function settingsOf(annotation: string, name: string, text: string, current: Configuration): Settings {
  const rule = Object.hasOwn(ANNOTATION_RULES, name) ? ANNOTATION_RULES[name] : undefined;
  if (rule === undefined) {
    throw new ConfigError(
      `annotation ${annotation} has no effect in kata-fs; needed: one that has, the nearest is ${nearest(name, Object.keys(ANNOTATION_RULES))}, or annotations.ignore with a pattern for it`,
    );
  }
  if (rule.paths !== undefined) requireListed(annotation, text, rule.paths, current.annotations);
  return readSettings(rule.set(text, current), () => `annotation ${annotation}`);
}

function requireListed(
  annotation: string,
  path: string,
  list: PathList,
  configuration: AnnotationsConfiguration,
): void {
  const patterns = configuration[list];
  // A glob's star would take ".." for the name of a directory.
  const isListed = normalize(path) === path && patterns.some((pattern) => globExpression(pattern).test(path));
  if (isListed) return;
  const needed = patterns.length === 0 ? "it is empty" : patterns.join(", ");
  throw new ConfigError(
    `annotation ${annotation} is ${JSON.stringify(path)}; needed: a path that annotations.${list} allows (${needed})`,
  );
}

function isMatched(name: string, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => new RegExp(`^(?:${pattern})$`, "u").test(name));
}

/** The number that a text is; the text itself, which no field for numbers takes, when it is none. */
function numberIn(text: string): number | string {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/** Kata's rules: less than none means as many as the host has, none leaves it as it is, parts of a processor are rounded up. */
function processors(asked: number | string, configured: number): number | string {
  if (typeof asked === "string") return asked;
  if (asked < 0) return availableParallelism();
  return asked === 0 ? configured : Math.ceil(asked);
}
