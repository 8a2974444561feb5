import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Where the kept inputs of each target are: one a line, in base64. */
const SEEDS = join(import.meta.dirname, "seeds");

/** The kept inputs of a target; none where there is no file. */
export function loadSeeds(target: string): Uint8Array[] {
  const path = join(SEEDS, `${target}.txt`);
  if (!existsSync(path)) return [];
  return readFileSync(path, "latin1")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => Uint8Array.from(Buffer.from(line, "base64")));
}

export function saveSeeds(target: string, inputs: readonly Uint8Array[]): void {
  const lines = inputs.map((input) => `${Buffer.from(input).toString("base64")}\n`);
  writeFileSync(join(SEEDS, `${target}.txt`), lines.join(""));
}

/** An input as it is printed for a replay. */
export function replayLine(target: string, input: Uint8Array): string {
  return `${target} ${Buffer.from(input).toString("base64")}`;
}

/** @throws SyntaxError for a line that is none */
export function parseReplayLine(line: string): { target: string; input: Uint8Array } {
  const [, target, base64] = /^([a-z-]+) ([A-Za-z0-9+/=]*)$/.exec(line) ?? [];
  if (target === undefined || base64 === undefined) {
    throw new SyntaxError(`"${line}" is not the name of a target and an input in base64`);
  }
  return { target, input: Uint8Array.from(Buffer.from(base64, "base64")) };
}
