import { loadSeeds } from "./corpus.js";
import { fuzz } from "./engine.js";
import { FlightRecorder } from "./flight-recorder.js";
import { progressLine } from "./report.js";
import type { WorkerOrder, WorkerResult } from "./supervise.js";
import { createTarget } from "./targets/index.js";

/** Runs one target in a process that may die of it: fuzz/supervise.ts starts it with a {@link WorkerOrder} as its argument. */
async function main(order: WorkerOrder): Promise<void> {
  const recorder = new FlightRecorder(order.recorderPath);
  const target = createTarget(order.target);
  const { corpus, failure, ...figures } = await fuzz(target, {
    inputs: order.inputs,
    seed: order.seed,
    corpus: order.corpus === undefined ? loadSeeds(order.target) : order.corpus.map(fromBase64),
    isGuided: order.isGuided,
    onInput: (input) => recorder.record(input),
    onProgress: (report) => console.log(progressLine(order.target, report)),
  });
  target.close();
  const result: WorkerResult = {
    ...figures,
    corpus: corpus.map(toBase64),
    failure: failure && { error: failure.error, input: toBase64(failure.input) },
  };
  process.send?.(result, () => process.exit());
}

const toBase64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");
const fromBase64 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "base64"));

await main(JSON.parse(process.argv[2] ?? "{}"));
