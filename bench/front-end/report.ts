import { type Bars, ratioChart } from "../bar-chart.js";
import type { GrowthPoint } from "./growth.js";
import type { Result } from "./main.js";
import type { Sample } from "./measure.js";

const CONTROL = "virtiofsd";
/** Ratios beyond this are cut in the plot. */
const CHART_LIMIT = 6;

/** How many times as fast, by the median time of an operation: on a machine that does other things it is steadier than operations a second. */
function speed(result: Result, name: string): number | undefined {
  return ratio(result, name, (control, own) => control.p50Us / own.p50Us);
}

function ratio(
  result: Result,
  name: string,
  of: (control: Sample, own: Sample) => number,
): number | undefined {
  const control = result.samples.get(CONTROL);
  const own = result.samples.get(name);
  return control === undefined || own === undefined ? undefined : of(control, own);
}

function policiesOf(results: readonly Result[]): string[] {
  return [...new Set(results.flatMap(({ samples }) => [...samples.keys()]))].filter(
    (name) => name !== CONTROL,
  );
}

/** Two tables: how many times as fast as virtiofsd, and the figures behind it. */
export function reportTables(results: readonly Result[]): string {
  const policies = policiesOf(results);
  const cell = (value: number | undefined) => (value === undefined ? "–" : value.toFixed(2));
  const ratios = results.map((result) => {
    const figures = policies.flatMap((name) => [
      cell(speed(result, name)),
      cell(ratio(result, name, (control, own) => own.operationsPerSecond / control.operationsPerSecond)),
      cell(ratio(result, name, (control, own) => own.cpuUs / control.cpuUs)),
    ]);
    return row([result.row.name, String(result.depth), ...figures]);
  });
  const details = results.flatMap((result) =>
    [...result.samples].map(([name, sample]) =>
      row([
        result.row.name,
        String(result.depth),
        name,
        Math.round(sample.operationsPerSecond).toLocaleString("en"),
        sample.p50Us.toFixed(1),
        sample.p99Us.toFixed(0),
        sample.cpuUs.toFixed(1),
        sample.kicks.toFixed(2),
      ]),
    ),
  );
  return [
    row(["what", "depth", ...policies.flatMap((name) => [`${name}: speed`, "operations/s", "CPU"])]),
    row(["---", "---:", ...policies.flatMap(() => ["---:", "---:", "---:"])]),
    ...ratios,
    "",
    "<details><summary>The figures</summary>",
    "",
    row(["what", "depth", "daemon", "operations/s", "p50 µs", "p99 µs", "CPU µs", "kicks"]),
    row(["---", "---:", "---", "---:", "---:", "---:", "---:", "---:"]),
    ...details,
    "",
    "</details>",
  ].join("\n");
}

/** The ratios at the first depth as an SVG. */
export function reportChart(results: readonly Result[]): string {
  const policies = policiesOf(results);
  const [depth] = results.map((result) => result.depth);
  const groups = results
    .filter((result) => result.depth === depth)
    .map((result): Bars => ({ label: result.row.name, values: policies.map((name) => speed(result, name)) }));
  return ratioChart(`Speed of kata-fsd, virtiofsd = 1 (depth ${depth})`, policies, groups, CHART_LIMIT);
}

/** One table for each figure. */
export function reportGrowth(points: readonly GrowthPoint[]): string {
  const titles = [...new Set(points.map(({ what }) => what))];
  return titles
    .map((title) =>
      growthTable(
        title,
        points.filter(({ what }) => what === title),
      ),
    )
    .join("\n\n");
}

function growthTable(title: string, points: readonly GrowthPoint[]): string {
  const names = [...(points[0]?.values.keys() ?? [])];
  return [
    row([title, ...points.map(({ size }) => size.toLocaleString("en"))]),
    row(["---", ...points.map(() => "---:")]),
    ...names.map((name) =>
      row([
        name === CONTROL ? name : "kata-fsd",
        ...points.map(({ values }) => (values.get(name) ?? Number.NaN).toFixed(1)),
      ]),
    ),
  ].join("\n");
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
