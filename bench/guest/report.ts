import { median } from "../statistics.js";
import type { Measured } from "./measure.js";
import type { Subject } from "./subjects.js";

const CONTROL = "virtiofsd";
const KIB_PER_MIB = 1024;

/** A table of how many times as fast as virtiofsd each is, and one of the figures. */
export function reportRows(
  subjects: readonly Subject[],
  results: ReadonlyMap<string, readonly Measured[]>,
): string {
  const ratios: string[] = [];
  const figures: string[] = [];
  for (const [name, measured] of results) {
    const control = measured.find(({ subject }) => subject === CONTROL);
    if (control === undefined) throw new Error(`${name} was not measured with ${CONTROL}`);
    const of = (wanted: Subject) => measured.find(({ subject }) => subject === wanted.name);
    ratios.push(row([name, ...subjects.map((subject) => ratio(control, of(subject)))]));
    for (const subject of subjects) {
      const own = of(subject);
      if (own === undefined) continue;
      const { ms, cachedKib, daemonMs } = own;
      figures.push(
        row([
          ...[
            name,
            subject.title,
            median(ms).toFixed(0),
            Math.min(...ms).toFixed(0),
            Math.max(...ms).toFixed(0),
          ],
          (median(cachedKib) / KIB_PER_MIB).toFixed(1),
          daemonMs?.toFixed(0) ?? "–",
        ]),
      );
    }
  }
  return [
    row(["how many times as fast as virtiofsd", ...subjects.map(({ title }) => title)]),
    row(["---", ...subjects.map(() => "---:")]),
    ...ratios,
    "",
    "<details><summary>The figures</summary>",
    "",
    row(["what", "by", "median ms", "min", "max", "guest's page cache MiB", "daemon's CPU ms"]),
    row(["---", "---", "---:", "---:", "---:", "---:", "---:"]),
    ...figures,
    "",
    "</details>",
  ].join("\n");
}

/** The median of the rounds' ratios: what slows down a whole round counts for neither. */
function ratio(control: Measured, own: Measured | undefined): string {
  if (own === undefined) return "–";
  return median(own.ms.map((ms, round) => (control.ms[round] ?? Number.NaN) / ms)).toFixed(2);
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
