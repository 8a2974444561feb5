import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { loadSeeds, parseReplayLine, replayLine, saveSeeds } from "./corpus.js";
import { progressLine } from "./report.js";
import { superviseFuzzing } from "./supervise.js";
import { targetNames } from "./targets/index.js";

const USAGE = `npm run fuzz -- [--target NAME] [--inputs N] [--seed S] [--unguided] [--keep]
npm run fuzz -- --replay FILE

Gives the parsers of what a guest or a front end sends mutated inputs, and looks whether what must hold does.

  --target NAME   one of ${targetNames.join(", ")}; all of them without it
  --inputs N      messages, chains, requests or packets for each target (100000)
  --seed S        of the generator of random numbers: the same seed, the same inputs (a random one)
  --unguided      faster, without coverage: nothing new is kept
  --keep          writes the inputs that reached something new to fuzz/seeds/
  --replay FILE   runs the inputs of a file that a failure was written to
`;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      target: { type: "string" },
      inputs: { type: "string", default: "100000" },
      seed: { type: "string" },
      unguided: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      replay: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  if (values.replay !== undefined) {
    for (const line of readFileSync(values.replay, "latin1").split("\n").filter(Boolean)) await replay(line);
    return;
  }
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
  const inputs = Number(values.inputs);
  if (!Number.isSafeInteger(inputs) || !Number.isSafeInteger(seed)) throw new RangeError(USAGE);
  for (const target of values.target === undefined ? targetNames : [values.target]) {
    await drive(target, inputs, seed, !values.unguided, values.keep);
  }
}

async function drive(
  target: string,
  inputs: number,
  seed: number,
  isGuided: boolean,
  isKept: boolean,
): Promise<void> {
  if (!targetNames.includes(target)) throw new RangeError(`no target "${target}"\n\n${USAGE}`);
  console.log(`${target}: seed ${seed}, ${loadSeeds(target).length} kept inputs`);
  const result = await superviseFuzzing({ target, inputs, seed, isGuided }, (line) => console.log(line));
  if (result.failure !== undefined) {
    report(target, result.failure);
    return;
  }
  console.log(progressLine(target, result));
  if (isKept)
    saveSeeds(
      target,
      result.corpus.map((input) => Buffer.from(input, "base64")),
    );
}

async function replay(line: string): Promise<void> {
  const { target, input } = parseReplayLine(line);
  const corpus = [Buffer.from(input).toString("base64")];
  const { failure } = await superviseFuzzing({ target, inputs: 0, seed: 0, isGuided: false, corpus });
  if (failure === undefined) console.log(`${target}: the input breaks nothing`);
  else report(target, failure);
}

function report(target: string, failure: { readonly error: string; readonly input: string }): void {
  const line = replayLine(target, Buffer.from(failure.input, "base64"));
  const path = `fuzz-failure-${target}.txt`;
  writeFileSync(path, `${line}\n`);
  console.error(`${target}: ${failure.error}\n${line}\nAgain: npm run fuzz -- --replay ${path}`);
  process.exitCode = 1;
}

await main();
