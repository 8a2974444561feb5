const MIB = 2 ** 20;

/** Figures of a run, finished or not. */
export interface Figures {
  readonly inputs: number;
  readonly runs: number;
  readonly seconds: number;
  readonly covered: number;
  readonly coverable: number;
  readonly earlyMemoryBytes: number;
  readonly memoryBytes: number;
}

export function progressLine(target: string, figures: Figures): string {
  const { inputs, runs, seconds, covered, coverable, earlyMemoryBytes, memoryBytes } = figures;
  const share = coverable === 0 ? "" : `, ${((100 * covered) / coverable).toFixed(1)} % of the code`;
  const early = earlyMemoryBytes === 0 ? "" : `${Math.round(earlyMemoryBytes / MIB)} -> `;
  const rate = Math.round(inputs / seconds);
  return `${target}: ${inputs} inputs in ${runs} runs, ${rate}/s${share}, ${early}${Math.round(memoryBytes / MIB)} MiB`;
}
