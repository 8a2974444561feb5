import { type Summary, summarise } from "./statistics.js";

export interface Row {
  readonly title: string;
  readonly values: readonly number[];
  readonly unit: "ms" | "MiB" | "×";
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
  const figure = (value: number) => `${value.toFixed(unit === "ms" ? 0 : unit === "MiB" ? 1 : 2)} ${unit}`;
  return `| ${title} | ${figure(median)} | ${figure(min)} | ${figure(max)} | ${runs} |`;
}
