/** What a sandbox's start consists of, each measured in milliseconds. */
export interface Phases {
  /** Start of the shim's process until containerd had its address. */
  shimStart: number;
  /** Start of kata-fsd until it listens. */
  daemon: number;
  /** Start of QEMU until its monitor answers. */
  qemu: number;
  /** From there until the agent answers. */
  kernelToAgent: number;
  /** Everything that is asked of the agent until the first container runs. */
  containerStart: number;
  /** Start of the shim's process until the first container runs. */
  total: number;
}

/** Runs `work` and returns what it returns with how long it took. */
export async function timed<T>(work: () => Promise<T>): Promise<[result: T, durationMs: number]> {
  const started = performance.now();
  const result = await work();
  return [result, performance.now() - started];
}
