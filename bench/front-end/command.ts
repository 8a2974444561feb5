import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { toolchain } from "../../test/e2e/machine.js";
import { writeSection } from "../document.js";
import { describeMachine } from "../machine-description.js";
import { benchGrowth } from "./growth.js";
import { benchFrontEnd, DEPTHS } from "./main.js";
import { reportChart, reportGrowth, reportTables } from "./report.js";

const CHART = "benchmarks/front-end.svg";

/**
 * `npm run bench -- front-end [--row NAME] [--depth N] [--rounds N] [--sample-ms N]`. The whole of it goes to docs/benchmarks.md, a part to
 * standard output.
 */
export async function frontEndCommand(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      row: { type: "string", default: "" },
      depth: { type: "string" },
      rounds: { type: "string", default: "7" },
      "sample-ms": { type: "string", default: "150" },
    },
  });
  const { testing } = await toolchain();
  if (testing === undefined) throw new Error("set-up brought no virtiofsd");
  const results = await benchFrontEnd({
    row: values.row,
    depths: values.depth === undefined ? DEPTHS : [Number(values.depth)],
    rounds: Number(values.rounds),
    durationMs: Number(values["sample-ms"]),
    virtiofsd: testing.virtiofsd,
  });
  const tables = reportTables(results);
  if (values.row !== "" || values.depth !== undefined) {
    console.log(tables);
    return;
  }
  const docs = new URL("../../docs/", import.meta.url);
  mkdirSync(fileURLToPath(new URL("benchmarks/", docs)), { recursive: true });
  writeFileSync(fileURLToPath(new URL(CHART, docs)), reportChart(results));
  const about = `virtiofsd ${testing.virtiofsd.version}; ${values.rounds} rounds of ${values["sample-ms"]} ms. ${describeMachine()}`;
  writeSection("front-end", `${about}\n\n![Speed beside virtiofsd](${CHART})\n\n${tables}`);
}

/** `npm run bench -- growth [--most N]`: goes to docs/benchmarks.md. */
export async function growthCommand(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: { most: { type: "string", default: "1000000" } },
  });
  const { testing } = await toolchain();
  if (testing === undefined) throw new Error("set-up brought no virtiofsd");
  const points = await benchGrowth({ virtiofsd: testing.virtiofsd, most: Number(values.most) });
  writeSection(
    "growth",
    `virtiofsd ${testing.virtiofsd.version}. ${describeMachine()}\n\n${reportGrowth(points)}`,
  );
}
