import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import type { TestTools } from "../../setup/toolchain.js";
import { measure, medianSample, type Sample, warmUp } from "./measure.js";
import { ROWS, type RowDescription } from "./rows.js";
import { fillShare } from "./share.js";
import { Subject, subjectDescriptions } from "./subjects.js";

export const DEPTHS = [1, 4, 16] as const;

export interface FrontEndOptions {
  readonly rounds: number;
  /** Of one sample. */
  readonly durationMs: number;
  /** Rows whose name contains this. */
  readonly row: string;
  readonly depths: readonly number[];
  readonly virtiofsd: TestTools["virtiofsd"];
}

/** A row at one depth, by subject; one that refuses changes has no figures for rows that make some. */
export interface Result {
  readonly row: RowDescription;
  readonly depth: number;
  readonly samples: ReadonlyMap<string, Sample>;
}

/**
 * Drives virtiofsd and kata-fsd in turn, without a virtual machine: this process is the front end, owns the memory and the rings, and has a
 * processor for itself.
 */
export async function benchFrontEnd(options: FrontEndOptions): Promise<Result[]> {
  const rows = ROWS.filter(({ name }) => name.includes(options.row));
  if (rows.length === 0)
    throw new Error(`no row ${options.row}: there are ${ROWS.map(({ name }) => name).join(", ")}`);
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-bench-"));
  const share = join(directory, "share");
  mkdirSync(share);
  fillShare(share, options.depths);
  const isPinned = availableParallelism() > 1;
  if (isPinned) spawnSync("taskset", ["-a", "-p", "-c", "0", String(process.pid)]);
  const subjects: Subject[] = [];
  try {
    for (const description of subjectDescriptions(options.virtiofsd)) {
      subjects.push(await Subject.start(description, share, directory, isPinned ? 1 : undefined));
    }
    return rows.flatMap((row) => options.depths.map((depth) => benchRow(row, depth, subjects, options)));
  } finally {
    for (const subject of subjects) await subject.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function benchRow(
  row: RowDescription,
  depth: number,
  all: readonly Subject[],
  options: FrontEndOptions,
): Result {
  const marks = all.map(({ ring }) => ring.mark);
  const subjects = all.filter(({ isReadOnly }) => !(row.changes && isReadOnly));
  const steps = subjects.map((subject) => ({
    subject,
    step: row.prepare(subject.ring, subject.guest, depth),
    samples: [] as Sample[],
  }));
  for (let round = -1; round < options.rounds; round++) {
    for (const { subject, step, samples } of steps) {
      if (round < 0) warmUp(step);
      else samples.push(measure(subject, step, options.durationMs));
    }
  }
  for (const [index, { ring }] of all.entries()) {
    const mark = marks[index];
    if (mark !== undefined) ring.freeTo(mark);
  }
  return {
    row,
    depth,
    samples: new Map(steps.map(({ subject, samples }) => [subject.name, medianSample(samples)])),
  };
}
