/** A column: its title, and whether its values are numbers, which stand to the right. */
export interface Column {
  readonly title: string;
  readonly isNumber?: boolean;
}

/** Rows below their titles, each column as wide as its widest value. */
export function formatTable(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const titles = columns.map(({ title }) => title);
  const widths = columns.map((_, index) =>
    Math.max(...[titles, ...rows].map((row) => (row[index] ?? "").length)),
  );
  return [titles, ...rows]
    .map((row) =>
      columns
        .map(({ isNumber = false }, index) => {
          const [text = "", width = 0] = [row[index], widths[index]];
          return isNumber ? text.padStart(width) : text.padEnd(width);
        })
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}

/** A span of time in its two largest units, such as "2h5m". */
export function formatSpan(spanMs: number): string {
  const seconds = Math.max(0, Math.floor(spanMs / 1000));
  const [minutes, hours, days] = [60, 3600, 86_400].map((unit) => Math.floor(seconds / unit));
  if (days) return `${days}d${(hours ?? 0) % 24}h`;
  if (hours) return `${hours}h${(minutes ?? 0) % 60}m`;
  return minutes ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}

export function formatMebibytes(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)}M`;
}
