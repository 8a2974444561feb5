import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ENTRY_OUT_BYTES, Opcode, OUT_HEADER_BYTES } from "../../fsd/fuse/constants.js";
import { cstring, u32, u64 } from "../../fsd/testing/test-guest.js";
import type { TestTools } from "../../setup/toolchain.js";
import { measure, warmUp } from "./measure.js";
import { prepareListing } from "./rows.js";
import { Subject, subjectDescriptions } from "./subjects.js";

export interface GrowthOptions {
  readonly virtiofsd: TestTools["virtiofsd"];
  /** The largest numbers of files that are tried. */
  readonly most: number;
}

/** One figure, and how large what it was measured on is. */
export interface GrowthPoint {
  readonly what: string;
  readonly size: number;
  /** By subject. */
  readonly values: ReadonlyMap<string, number>;
}

const SUBJECTS = ["virtiofsd", "exclusive"];
const READ_BYTES = 4096;
const FILE_SIZES = [1, 4096, 2 ** 20, 2 ** 30, 2 ** 32];
const SAMPLE_MS = 300;
/** Looked up before anything is measured: code is compiled when it has run often enough. */
const WARM_FILES = 3000;
const KIB_PER_MIB = 1024;

/** How the cost of a request grows with the files that a guest knows, with a directory's length, and with a file's. */
export async function benchGrowth({ virtiofsd, most }: GrowthOptions): Promise<GrowthPoint[]> {
  const directory = mkdtempSync(join(tmpdir(), "kata-fs-bench-"));
  const share = join(directory, "share");
  mkdirSync(share);
  const counts = powersOfTen(10, most);
  fillDirectory(join(share, "warm"), WARM_FILES);
  for (const count of counts) fillDirectory(join(share, `n${count}`), count);
  for (const size of FILE_SIZES) {
    const file = join(share, `file${size}`);
    writeFileSync(file, "");
    truncateSync(file, size);
  }
  const points: GrowthPoint[] = [];
  try {
    const subjects: Subject[] = [];
    try {
      for (const description of subjectDescriptions(virtiofsd)) {
        if (SUBJECTS.includes(description.name))
          subjects.push(await Subject.start(description, share, directory, undefined));
      }
      const each = (what: string, size: number, of: (subject: Subject) => number) =>
        points.push({
          what,
          size,
          values: new Map(subjects.map((subject) => [subject.name, of(subject)])),
        });
      for (const subject of subjects) lookUpAll(subject, "warm", WARM_FILES);
      for (const size of FILE_SIZES) {
        each("READ of 4 KiB, by bytes of the file, µs", size, (one) => readUs(one, size));
      }
      for (const count of counts) {
        const nodeIds = new Map<string, bigint[]>();
        each("LOOKUP of files not known, by files, µs", count, (one) => {
          const started = performance.now();
          nodeIds.set(one.name, lookUpAll(one, `n${count}`, count));
          return ((performance.now() - started) * 1000) / count;
        });
        each("GETATTR of any of the files known, by files, µs", count, (one) =>
          getattrUs(one, nodeIds.get(one.name) ?? []),
        );
        each("memory of the daemon, by files known, MiB", count, (one) => residentMib(one));
      }
      // Last: it makes everything known.
      for (const count of counts) {
        each("READDIRPLUS, by entries of the directory, µs an entry", count, (one) => listUs(one, count));
      }
    } finally {
      for (const subject of subjects) await subject.stop();
    }
    return points;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function powersOfTen(least: number, most: number): number[] {
  return least > most ? [] : [least, ...powersOfTen(10 * least, most)];
}

function fillDirectory(directory: string, count: number): void {
  mkdirSync(directory);
  for (let index = 0; index < count; index++) writeFileSync(join(directory, nameOf(index)), "");
}

function nameOf(index: number): string {
  return `entry-${String(index).padStart(7, "0")}`;
}

function readUs({ guest, ring }: Subject, size: number): number {
  const mark = ring.mark;
  const nodeId = guest.walk(`file${size}`);
  const fh = guest.open(nodeId, 0);
  const args = Buffer.concat([u64(fh, 0n), u32(READ_BYTES, 0), u64(0n), u32(0, 0)]);
  const request = ring.prepare(Opcode.READ, nodeId, { args, room: 0, payloadIn: READ_BYTES });
  const pages = Math.max(1, Math.floor(size / READ_BYTES));
  const step = () => {
    const offset = Math.floor(Math.random() * pages) * READ_BYTES;
    request.request.setUint32(48, offset, true);
    request.request.setUint32(52, offset / 2 ** 32, true);
    if (ring.run(request) < 0) throw new Error("READ failed");
  };
  warmUp(step);
  const { p50Us } = measure({ cpuSeconds: 0, ring }, step, SAMPLE_MS);
  guest.release(nodeId, fh);
  ring.freeTo(mark);
  return p50Us;
}

function listUs({ guest, ring }: Subject, count: number): number {
  const mark = ring.mark;
  const step = prepareListing(ring, guest.walk(`n${count}`), count);
  warmUp(step);
  const { p50Us } = measure({ cpuSeconds: 0, ring }, step, SAMPLE_MS);
  ring.freeTo(mark);
  return p50Us / count;
}

function lookUpAll({ guest, ring }: Subject, directory: string, count: number): bigint[] {
  const mark = ring.mark;
  const request = ring.prepare(Opcode.LOOKUP, guest.walk(directory), {
    args: cstring(nameOf(0)),
    room: ENTRY_OUT_BYTES,
  });
  const name = new Uint8Array(request.request.buffer, request.request.byteOffset + 40, nameOf(0).length);
  const nodeIds: bigint[] = [];
  for (let index = 0; index < count; index++) {
    name.set(Buffer.from(nameOf(index)));
    if (ring.run(request) < 0) throw new Error("LOOKUP failed");
    nodeIds.push(request.reply.getBigUint64(OUT_HEADER_BYTES, true));
  }
  ring.freeTo(mark);
  return nodeIds;
}

function getattrUs({ ring }: Subject, nodeIds: readonly bigint[]): number {
  const mark = ring.mark;
  const request = ring.prepare(Opcode.GETATTR, 1n, { args: Buffer.alloc(16), room: 104 });
  const step = () => {
    request.request.setBigUint64(16, nodeIds[Math.floor(Math.random() * nodeIds.length)] ?? 1n, true);
    if (ring.run(request) < 0) throw new Error("GETATTR failed");
  };
  warmUp(step);
  const { p50Us } = measure({ cpuSeconds: 0, ring }, step, SAMPLE_MS);
  ring.freeTo(mark);
  return p50Us;
}

/** Of the largest of a daemon's processes: the others only wait for it. */
function residentMib(subject: Subject): number {
  return Math.max(...subject.processes.map(residentKib)) / KIB_PER_MIB;
}

function residentKib(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
  return Number(kilobytes ?? 0);
}
