import { setImmediate } from "node:timers/promises";
import { Coverage } from "./coverage.js";
import { minimise } from "./minimise.js";
import { freshInput, INPUT_BYTES_MAX, mutate } from "./mutate.js";
import { Random } from "./random.js";
import type { FuzzTarget } from "./target.js";

export interface FuzzOptions {
  /** Messages, chains, requests or packets that the code is given at least. */
  readonly inputs: number;
  readonly seed: number;
  /** Inputs that were kept before. */
  readonly corpus: readonly Uint8Array[];
  /** Look for inputs that reach code that no other one reached. It costs about half of the speed. */
  readonly isGuided: boolean;
  /** Told of each input before it runs, so that it is known when the process does not survive it. */
  readonly onInput?: (input: Uint8Array) => void;
  readonly onProgress?: (report: FuzzReport) => void;
}

export interface FuzzReport {
  readonly inputs: number;
  readonly runs: number;
  readonly seconds: number;
  /** Characters of the sources, when the run is guided. */
  readonly covered: number;
  readonly coverable: number;
  /** The inputs that are worth being kept: those given, and those that reached more. */
  readonly corpus: readonly Uint8Array[];
  /** Resident memory after the first tenth of the run and at its end: a target that grows without bound shows here. */
  readonly earlyMemoryBytes: number;
  readonly memoryBytes: number;
  readonly failure: FuzzFailure | undefined;
}

/** What an input broke. */
export interface FuzzFailure {
  readonly input: Uint8Array;
  readonly error: string;
}

/** Inputs between two looks at the coverage: a look costs as much as some hundred of them. */
const BATCH = 400;
/** One input in so many is made of nothing but chance. */
const FRESH_EVERY = 16;
const PROGRESS_MS = 10_000;

/** Gives a target mutated inputs until there were enough, or until one breaks something. */
export async function fuzz(target: FuzzTarget, options: FuzzOptions): Promise<FuzzReport> {
  const random = new Random(options.seed);
  const corpus = options.corpus.map((input) => input.subarray(0, INPUT_BYTES_MAX));
  const coverage = options.isGuided ? new Coverage((url) => target.covers.test(url)) : undefined;
  const started = performance.now();
  let reportedAt = started;
  let inputs = 0;
  let runs = 0;
  let earlyMemoryBytes = 0;
  let failure: FuzzFailure | undefined;

  const run = async (input: Uint8Array): Promise<boolean> => {
    options.onInput?.(input);
    runs++;
    try {
      const given = target.run(input);
      inputs += typeof given === "number" ? given : await given;
      return true;
    } catch (error) {
      const message = messageOf(error);
      const fails = async (shorter: Uint8Array): Promise<boolean> => {
        options.onInput?.(shorter);
        return (await outcome(target, shorter)) === firstLine(message);
      };
      failure = { input: await minimise(input, fails), error: message };
      return false;
    }
  };
  const report = (): FuzzReport => {
    const characters = coverage?.characters ?? { covered: 0, all: 0 };
    return {
      inputs,
      runs,
      seconds: (performance.now() - started) / 1000,
      covered: characters.covered,
      coverable: characters.all,
      corpus,
      earlyMemoryBytes,
      memoryBytes: process.memoryUsage.rss(),
      failure,
    };
  };
  /** Runs a batch once more, one by one, to see which of it reached the news. */
  const keepNews = async (batch: readonly Uint8Array[], coverage: Coverage): Promise<boolean> => {
    for (const input of batch) {
      if (!(await run(input))) return false;
      if (coverage.note()) corpus.push(input);
    }
    return true;
  };

  try {
    for (const input of corpus) if (!(await run(input))) return report();
    coverage?.note();
    while (inputs < options.inputs) {
      const batch: Uint8Array[] = [];
      for (let index = 0; index < BATCH && inputs < options.inputs; index++) {
        const input = nextInput(corpus, random);
        batch.push(input);
        if (!(await run(input))) return report();
      }
      // Views of foreign memory are freed in a turn of the event loop; without one the memory's figure counts them all.
      await setImmediate();
      if (earlyMemoryBytes === 0 && inputs >= options.inputs / 10)
        earlyMemoryBytes = process.memoryUsage.rss();
      if (coverage?.hasNews() === true && !(await keepNews(batch, coverage))) return report();
      if (performance.now() - reportedAt > PROGRESS_MS) {
        reportedAt = performance.now();
        options.onProgress?.(report());
      }
    }
    return report();
  } finally {
    coverage?.close();
  }
}

function nextInput(corpus: readonly Uint8Array[], random: Random): Uint8Array {
  const seed = corpus[random.below(corpus.length)];
  const other = corpus[random.below(corpus.length)];
  if (seed === undefined || other === undefined || random.below(FRESH_EVERY) === 0) return freshInput(random);
  return mutate(seed, other, random);
}

/** The first line of what an input breaks, or "". */
async function outcome(target: FuzzTarget, input: Uint8Array): Promise<string> {
  try {
    await target.run(input);
    return "";
  } catch (error) {
    return firstLine(messageOf(error));
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function firstLine(text: string): string {
  return text.slice(0, text.indexOf("\n") >>> 0);
}
