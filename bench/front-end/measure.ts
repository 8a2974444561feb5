import { median } from "../statistics.js";

/** One subject's figures for one row. */
export interface Sample {
  readonly operationsPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly cpuUs: number;
  /** Kicks that the driver made for an operation: each takes a guest out to its host. */
  readonly kicks: number;
}

/** What {@link measure} needs of a subject. */
export interface Measured {
  readonly cpuSeconds: number;
  readonly ring: { readonly kicks: number };
}

const SAMPLES_MAX = 1 << 20;
const durationsMs = new Float64Array(SAMPLES_MAX);

/** Code is compiled when it has run often enough: so many operations, or for so long. */
const WARM_UP = { operations: 10_000, limitMs: 1500 } as const;

/** Repeats `step` until its code is as fast as it gets. */
export function warmUp(step: () => void): void {
  const endMs = performance.now() + WARM_UP.limitMs;
  for (let count = 0; count < WARM_UP.operations && performance.now() < endMs; count++) step();
}

/** Repeats `step` for some time. */
export function measure(subject: Measured, step: () => void, durationMs: number): Sample {
  const kicksBefore = subject.ring.kicks;
  const cpuBefore = subject.cpuSeconds;
  const startMs = performance.now();
  const endMs = startMs + durationMs;
  let count = 0;
  let before = startMs;
  do {
    step();
    const now = performance.now();
    durationsMs[count++] = now - before;
    before = now;
  } while (before < endMs && count < SAMPLES_MAX);
  const cpuSeconds = subject.cpuSeconds - cpuBefore;
  const sorted = durationsMs.slice(0, count).sort();
  const quantileUs = (share: number) => (sorted[Math.min(count - 1, Math.floor(count * share))] ?? 0) * 1000;
  return {
    operationsPerSecond: count / ((before - startMs) / 1000),
    p50Us: quantileUs(0.5),
    p99Us: quantileUs(0.99),
    cpuUs: (cpuSeconds * 1e6) / count,
    kicks: (subject.ring.kicks - kicksBefore) / count,
  };
}

/** The median of each figure. @throws RangeError for no samples */
export function medianSample(samples: readonly Sample[]): Sample {
  const of = (figure: keyof Sample) => median(samples.map((sample) => sample[figure]));
  return {
    operationsPerSecond: of("operationsPerSecond"),
    p50Us: of("p50Us"),
    p99Us: of("p99Us"),
    cpuUs: of("cpuUs"),
    kicks: of("kicks"),
  };
}
