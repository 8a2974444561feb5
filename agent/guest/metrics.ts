import { readFileSync } from "node:fs";

/** Of /proc/stat, in the order of its columns: proc_stat(5). */
const CPU_ITEMS = [
  "user",
  "nice",
  "system",
  "idle",
  "iowait",
  "irq",
  "softirq",
  "steal",
  "guest",
  "guest_nice",
];
/** sysconf(_SC_CLK_TCK) on Linux. */
const TICKS_PER_SECOND = 100;
const BYTES_PER_KIBIBYTE = 1024;

/** What the guest's kernel counts, in Prometheus' text format, with the names that Kata's agent gives it. */
export function guestMetrics(read: (file: string) => string = (file) => readFileSync(file, "utf8")): string {
  return [
    metric("kata_guest_cpu_time", "Seconds that processors spent.", cpuTimes(read("/proc/stat"))),
    metric("kata_guest_load", "Load of the system.", loads(read("/proc/loadavg"))),
    metric("kata_guest_meminfo", "Memory, in bytes.", memory(read("/proc/meminfo"))),
    metric("kata_guest_tasks", "Threads of the guest.", tasks(read("/proc/loadavg"))),
  ].join("");
}

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

function metric(name: string, help: string, samples: readonly Sample[]): string {
  const lines = samples.map(([labels, value]) => {
    const text = Object.entries(labels).map(([key, word]) => `${key}="${word}"`);
    return `${name}{${text.join(",")}} ${value}\n`;
  });
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join("")}`;
}

function cpuTimes(stat: string): Sample[] {
  return [...stat.matchAll(/^cpu(\d*) +(.*)$/gm)].flatMap(([, number = "", columns = ""]) => {
    const cpu = number === "" ? "total" : number;
    const times = columns.split(" ").map((ticks) => Number(ticks) / TICKS_PER_SECOND);
    return CPU_ITEMS.map((item, index): Sample => [{ cpu, item }, times[index] ?? 0]);
  });
}

function loads(loadavg: string): Sample[] {
  const values = loadavg.split(" ").map(Number);
  return ["load1", "load5", "load15"].map((item, index) => [{ item }, values[index] ?? 0]);
}

function tasks(loadavg: string): Sample[] {
  const [, running = "0", all = "0"] = / (\d+)\/(\d+) /.exec(loadavg) ?? [];
  return [
    [{ item: "cur" }, Number(running)],
    [{ item: "max" }, Number(all)],
  ];
}

/** Names such as "mem_available" and "active_anon". */
function memory(meminfo: string): Sample[] {
  return [...meminfo.matchAll(/^([\w()]+): +(\d+)( kB)?$/gm)].map(([, name = "", amount, unit]) => {
    const words = name.replaceAll(/[()]/g, "_").replaceAll(/([a-z])([A-Z])/g, "$1_$2");
    const item = words.toLowerCase().replace(/_$/, "");
    return [{ item }, Number(amount) * (unit === undefined ? 1 : BYTES_PER_KIBIBYTE)];
  });
}
