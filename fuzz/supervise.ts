import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FlightRecorder } from "./flight-recorder.js";
import type { Figures } from "./report.js";

/** What a worker is to do. */
export interface WorkerOrder {
  readonly target: string;
  readonly inputs: number;
  readonly seed: number;
  readonly isGuided: boolean;
  /** Inputs in base64 to start with, instead of those that are kept for the target. */
  readonly corpus?: readonly string[];
  readonly recorderPath: string;
}

/** What came of it; inputs are in base64. */
export interface WorkerResult extends Figures {
  readonly corpus: readonly string[];
  readonly failure: { readonly error: string; readonly input: string } | undefined;
}

/** An input that takes longer than this hangs. It is long because machines that run tests are busy. */
const HANG_MS = 60_000;
const LOOK_MS = 1000;

/**
 * Runs a target in a process of its own. When that dies or hangs, the input that did it is the failure, like one that breaks an invariant.
 * @param onLine is given lines about the progress
 */
export async function superviseFuzzing(
  order: Omit<WorkerOrder, "recorderPath">,
  onLine: (line: string) => void = () => {},
): Promise<WorkerResult> {
  // In memory, where there is such a place: guests sync, and a disk would make them wait.
  const directory = mkdtempSync(join(existsSync("/dev/shm") ? "/dev/shm" : tmpdir(), "kata-fs-fuzz-"));
  try {
    const recorderPath = join(directory, "input");
    const recorder = new FlightRecorder(recorderPath);
    const argument = JSON.stringify({ ...order, recorderPath } satisfies WorkerOrder);
    const worker = join(import.meta.dirname, "worker.ts");
    const child = spawn(process.execPath, ["--import", "tsx", worker, argument], {
      stdio: ["ignore", "pipe", "inherit", "ipc"],
      // What the target makes for itself goes with the directory, even if the process does not end in order.
      env: { ...process.env, TMPDIR: directory },
    });
    let result: WorkerResult | undefined;
    let isHung = false;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => onLine(text.trimEnd()));
    child.on("message", (message) => {
      result = message as WorkerResult;
    });
    const watch = watchProgress(recorder, () => {
      isHung = true;
      child.kill("SIGKILL");
    });
    const ended = await new Promise<string>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status, signal) => resolve(signal ?? `status ${status}`));
    }).finally(() => clearInterval(watch));
    if (result !== undefined) return result;
    const error = isHung ? `an input ran for more than ${HANG_MS} ms` : `the process ended with ${ended}`;
    return { ...NOTHING, failure: { error, input: Buffer.from(recorder.input).toString("base64") } };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const NOTHING: Omit<WorkerResult, "failure"> = {
  inputs: 0,
  runs: 0,
  seconds: 0,
  covered: 0,
  coverable: 0,
  earlyMemoryBytes: 0,
  memoryBytes: 0,
  corpus: [],
};

function watchProgress(recorder: FlightRecorder, onHang: () => void): NodeJS.Timeout {
  let seen = recorder.count;
  let movedAt = performance.now();
  return setInterval(() => {
    const { count } = recorder;
    if (count !== seen) {
      seen = count;
      movedAt = performance.now();
    } else if (performance.now() - movedAt > HANG_MS) onHang();
  }, LOOK_MS);
}
