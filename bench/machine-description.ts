import { readFileSync, statfsSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from "node:os";

/** `f_type` of statfs(2). */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: "ext4",
  16914836: "tmpfs",
  1481003842: "xfs",
  2435016766: "btrfs",
  2035054128: "overlay",
};

/** One line on what figures were measured on. */
export function describeMachine(): string {
  const [cpu] = cpus();
  const [, name = "Linux"] = /^PRETTY_NAME="(.*)"$/m.exec(readFileSync("/etc/os-release", "utf8")) ?? [];
  const { type } = statfsSync(tmpdir());
  const words = [
    `${availableParallelism()} processors (${cpu?.model.trim() ?? "unknown"})`,
    `${Math.round(totalmem() / 2 ** 30)} GiB`,
    name,
    `Linux ${release()}`,
    `Node.js ${process.versions.node}`,
    `files on ${FILE_SYSTEMS[type] ?? `file system 0x${type.toString(16)}`}`,
    `load average at the end ${loadavg()[0]?.toFixed(1)}`,
  ];
  return `${words.join(", ")}; ${new Date().toISOString().slice(0, 10)}.`;
}
