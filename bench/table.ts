import { type Summary, summarise } from "./statistics.js";

export interface Row {
  readonly title: string;
  readonly values: readonly number[];
  readonly unit: "ms" | "MiB" | "MB/s" | "×";
}

/** Rows as a Markdown table: median, minimum and maximum of each. */
export function formatTable(title: string, rows: readonly Row[]): string {
  const lines = rows.map(({ title: name, values, unit }) => formatRow(name, summarise(values), unit));
  return [
    `\n### ${title}\n`,
    "| what | median | min | max | runs |",
    "|---|---:|---:|---:|---:|",
    ...lines,
  ].join("\n");
}

function formatRow(title: string, { median, min, max, runs }: Summary, unit: Row["unit"]): string {
  // State takes less than a millisecond.
  const digits = unit === "ms" && median >= 10 ? 0 : unit === "MiB" || unit === "MB/s" ? 1 : 2;
  const figure = (value: number) => `${value.toFixed(digits)} ${unit}`;
  return `| ${title} | ${figure(median)} | ${figure(min)} | ${figure(max)} | ${runs} |`;
}
