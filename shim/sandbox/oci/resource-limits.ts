import { JsonReader } from "./json-reader.js";

/** What processes may use; 0 where nothing limits it. */
export interface ResourceLimits {
  /** Processors, with a fraction. */
  readonly cpus: number;
  readonly memoryBytes: number;
}

export const UNLIMITED: ResourceLimits = { cpus: 0, memoryBytes: 0 };

/** Kubernetes' sums for a pod, from its CRI implementation, on the sandbox's container. */
const SandboxAnnotations = {
  cpuQuota: "io.kubernetes.cri.sandbox-cpu-quota",
  cpuPeriod: "io.kubernetes.cri.sandbox-cpu-period",
  memory: "io.kubernetes.cri.sandbox-memory",
} as const;

/** "No limit" is written as the largest number of 64 bits, or of so many pages; no host has that much. */
const MEMORY_LIMIT_MAX_BYTES = 2 ** 60;

/** The limits of the container that `config` (config.json) describes. @throws ShimError INVALID_ARGUMENT */
export function limitsOfContainer(config: unknown): ResourceLimits {
  return containerLimits(JsonReader.of(config, "config.json").object("linux").object("resources"));
}

/** Where the container's cgroup is to be on the host; empty if it does not say. @throws ShimError INVALID_ARGUMENT */
export function cgroupsPathOf(config: unknown): string {
  return JsonReader.of(config, "config.json").object("linux").text("cgroupsPath");
}

/**
 * The limits after an Update, which leaves those as they are that it does not name.
 *
 * @param resources the OCI resources of the Update, as their JSON was parsed
 * @throws ShimError INVALID_ARGUMENT
 */
export function updatedLimits(before: ResourceLimits | undefined, resources: unknown): ResourceLimits {
  const reader = JsonReader.of(resources, "resources");
  const limits = containerLimits(reader);
  const cpu = reader.object("cpu");
  return {
    cpus: cpu.number("quota") !== 0 || cpu.has("cpus") ? limits.cpus : (before ?? UNLIMITED).cpus,
    memoryBytes:
      reader.object("memory").number("limit") !== 0 ? limits.memoryBytes : (before ?? UNLIMITED).memoryBytes,
  };
}

/**
 * The limits in OCI resources. Who is bound to certain processors without a quota may use as many as there are of them.
 *
 * @throws ShimError INVALID_ARGUMENT
 */
export function containerLimits(resources: JsonReader): ResourceLimits {
  const cpu = resources.object("cpu");
  const quotaCpus = processors(cpu.number("quota"), cpu.number("period"));
  return {
    cpus: quotaCpus > 0 ? quotaCpus : countCpus(cpu.text("cpus")),
    memoryBytes: memory(resources.object("memory").number("limit")),
  };
}

/**
 * What the containers of a sandbox may use in all, as far as it is known when it is brought up: a pod's sums, or the limits of a container
 * that stands alone.
 *
 * @param config of the container that the sandbox is brought up for
 * @throws ShimError INVALID_ARGUMENT
 */
export function sandboxLimits(config: unknown): ResourceLimits {
  const spec = JsonReader.of(config, "config.json");
  const annotations = spec.textByName("annotations");
  const own = containerLimits(spec.object("linux").object("resources"));
  const number = (name: string) => Number(annotations[name] ?? 0) || 0;
  const { cpuQuota, cpuPeriod, memory: memoryName } = SandboxAnnotations;
  const cpus = processors(number(cpuQuota), number(cpuPeriod));
  const memoryBytes = memory(number(memoryName));
  return { cpus: cpus > 0 ? cpus : own.cpus, memoryBytes: memoryBytes > 0 ? memoryBytes : own.memoryBytes };
}

function processors(quota: number, period: number): number {
  return quota > 0 && period > 0 ? quota / period : 0;
}

function memory(limitBytes: number): number {
  return limitBytes > 0 && limitBytes < MEMORY_LIMIT_MAX_BYTES ? limitBytes : 0;
}

/** How many a list such as "0-3,8" names: cpuset(7), "List format". */
function countCpus(list: string): number {
  return [...list.matchAll(/(\d+)(?:-(\d+))?/g)].reduce(
    (count, [, first, last = first]) => count + Math.max(0, Number(last) - Number(first) + 1),
    0,
  );
}
