export interface Bars {
  readonly label: string;
  /** One for each series; undefined where there is none. */
  readonly values: readonly (number | undefined)[];
}

const LABEL_WIDTH = 190;
const PLOT_WIDTH = 470;
const VALUE_WIDTH = 60;
const BAR_HEIGHT = 9;
const GROUP_GAP = 8;
const TOP = 58;
const COLORS = ["#3b6ea5", "#c2703d", "#5f9e6e", "#8d6cab"];

/** An SVG of horizontal bars, in groups, with a line at 1: ratios. Bars longer than `limit` are cut there and say their value. */
export function ratioChart(
  title: string,
  series: readonly string[],
  groups: readonly Bars[],
  limit: number,
): string {
  const groupHeight = series.length * BAR_HEIGHT + GROUP_GAP;
  const height = TOP + groups.length * groupHeight + 24;
  const width = LABEL_WIDTH + PLOT_WIDTH + VALUE_WIDTH;
  const x = (value: number) => LABEL_WIDTH + (Math.min(value, limit) / limit) * PLOT_WIDTH;
  const color = (index: number) => COLORS[index % COLORS.length] ?? "#000";
  const lines: string[] = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="11">`,
    `<title>${escapeXml(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="8" y="18" font-size="14">${escapeXml(title)}</text>`,
    ...series.map(
      (name, index) =>
        `<rect x="${LABEL_WIDTH + index * 110}" y="28" width="10" height="10" fill="${color(index)}"/>` +
        `<text x="${LABEL_WIDTH + index * 110 + 14}" y="37">${escapeXml(name)}</text>`,
    ),
  ];
  for (let tick = 0; tick <= limit; tick++) {
    const at = x(tick).toFixed(1);
    const stroke = tick === 1 ? "#000" : "#ddd";
    lines.push(
      `<line x1="${at}" y1="${TOP - 8}" x2="${at}" y2="${height - 20}" stroke="${stroke}"/>`,
      `<text x="${at}" y="${height - 6}" text-anchor="middle">${tick}</text>`,
    );
  }
  for (const [group, { label, values }] of groups.entries()) {
    const top = TOP + group * groupHeight;
    lines.push(
      `<text x="${LABEL_WIDTH - 6}" y="${top + (groupHeight - GROUP_GAP) / 2 + 4}" text-anchor="end">${escapeXml(label)}</text>`,
    );
    for (const [index, value] of values.entries()) {
      if (value === undefined) continue;
      const y = top + index * BAR_HEIGHT;
      const end = x(value);
      lines.push(
        `<rect x="${LABEL_WIDTH}" y="${y}" width="${(end - LABEL_WIDTH).toFixed(1)}" height="${BAR_HEIGHT - 1}" fill="${color(index)}"/>`,
        `<text x="${(end + 3).toFixed(1)}" y="${y + 7.5}" font-size="8">${value.toFixed(2)}</text>`,
      );
    }
  }
  return `${[...lines, "</svg>"].join("\n")}\n`;
}

function escapeXml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
