import { type Command, UsageError } from "../command.js";
import { readOptions } from "../options.js";
import { wantsColour } from "../terminal.js";
import { checkContainerd } from "./containerd.js";
import type { Finding, Verdict } from "./finding.js";
import { checkHost } from "./host.js";
import { checkPrograms } from "./programs.js";

const USAGE = `\
  kata-fs check [--json]

  Whether sandboxes can be started on this machine: a line for each thing that they need, with the remedy for what is amiss.
  Exit status 1 when something is missing without which none can start.
`;

const COLOURS: Readonly<Record<Verdict, string>> = { ok: "32", warn: "33", fail: "31" };

export const checkCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const { values, positionals } = readOptions(words, { json: { type: "boolean", default: false } });
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    const findings = [...(await checkHost()), ...(await checkPrograms()), ...(await checkContainerd())];
    if (values.json) output.out(`${JSON.stringify(findings, undefined, 2)}\n`);
    else output.out(formatFindings(findings, wantsColour()));
    return findings.some(({ verdict }) => verdict === "fail") ? 1 : 0;
  },
};

/** @param isColoured for a terminal */
export function formatFindings(findings: readonly Finding[], isColoured: boolean): string {
  const width = Math.max(...findings.map(({ title }) => title.length));
  return findings
    .map(({ title, verdict, found, remedy }) => {
      const word = verdict.padEnd(4);
      const mark = isColoured ? `\u001b[${COLOURS[verdict]}m${word}\u001b[m` : word;
      const advice = remedy === undefined ? "" : `${" ".repeat(width + 8)}→ ${remedy}\n`;
      return `${mark}  ${title.padEnd(width)}  ${found}\n${advice}`;
    })
    .join("");
}
