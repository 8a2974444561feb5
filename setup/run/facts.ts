import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { SAMPLE_PATH } from "./demo-image.js";

/** Where the container finds the folder in which it leaves what it measured. */
export const FACTS_FOLDER = "/facts";

/** What the container measured about itself and its guest. */
export interface GuestFacts {
  /** `uname -r`. */
  readonly kernel: string;
  readonly mounts: readonly Mount[];
  readonly sampleMd5: string;
  /** How much the guest's page cache grew while the sample file was read. */
  readonly pageCacheGrowthBytes: number;
}

/** One line of /proc/self/mountinfo. */
export interface Mount {
  readonly point: string;
  readonly type: string;
  readonly source: string;
  /** Options of the superblock. */
  readonly options: readonly string[];
}

/** Run by the container's shell: takes the measurements and says on the way what it does. */
export const DEMO_SCRIPT = `
set -e
echo "Hello from $(uname -s) $(uname -r), $(cat /proc/cpuinfo | head -n 5 | tail -n 1 | cut -d: -f2)"
echo "Files of the image:"
ls -l / /data
uname -r > ${FACTS_FOLDER}/kernel
cat /proc/self/mountinfo > ${FACTS_FOLDER}/mountinfo
cat /proc/meminfo > ${FACTS_FOLDER}/meminfo-before
md5sum /${SAMPLE_PATH} > ${FACTS_FOLDER}/md5sum
cat /proc/meminfo > ${FACTS_FOLDER}/meminfo-after
cat ${FACTS_FOLDER}/md5sum
`;

/** Reads what {@link DEMO_SCRIPT} left in `folder`. Throws when a file is missing or cannot be understood. */
export async function readGuestFacts(folder: string): Promise<GuestFacts> {
  const read = (name: string) => readFile(join(folder, name), "utf8");
  const before = pageCacheBytes(await read("meminfo-before"));
  const after = pageCacheBytes(await read("meminfo-after"));
  return {
    kernel: (await read("kernel")).trim(),
    mounts: parseMountinfo(await read("mountinfo")),
    sampleMd5: (await read("md5sum")).split(" ")[0] ?? "",
    pageCacheGrowthBytes: after - before,
  };
}

/** `Buffers` and `Cached` of /proc/meminfo. */
export function pageCacheBytes(meminfo: string): number {
  const kilobytes = ["Buffers", "Cached"].map((name) => {
    const value = new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(meminfo)?.[1];
    if (value === undefined) throw new Error(`the guest's /proc/meminfo has no line ${name}`);
    return Number(value);
  });
  return kilobytes.reduce((sum, value) => sum + value, 0) * 1024;
}

/** Parses /proc/self/mountinfo, see proc(5). Lines that do not look like it are left out. */
export function parseMountinfo(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const [left = "", right] = line.split(" - ");
    const point = left.split(" ")[4];
    const [type, source, options] = right?.split(" ") ?? [];
    if (point === undefined || type === undefined || source === undefined || options === undefined) return [];
    return [{ point, type, source, options: options.split(",") }];
  });
}
