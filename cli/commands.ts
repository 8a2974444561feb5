import type { Command } from "./command.js";

/** What the overview of all commands has of each; the rest of it is loaded when it is asked for. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  load(): Promise<Command>;
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "check",
    summary: "whether sandboxes can be started on this machine",
    load: async () => (await import("./check/command.js")).checkCommand,
  },
  {
    name: "env",
    summary: "versions, paths and the gist of the configuration",
    load: async () => (await import("./env.js")).envCommand,
  },
  {
    name: "list",
    summary: "the sandboxes of this machine",
    load: async () => (await import("./list.js")).listCommand,
  },
  {
    name: "console",
    summary: "what a guest has written to its console",
    load: async () => (await import("./console.js")).consoleCommand,
  },
  {
    name: "top",
    summary: "what sandboxes use on the host",
    load: async () => (await import("./top.js")).topCommand,
  },
  {
    name: "metrics",
    summary: "Prometheus metrics of all sandboxes",
    load: async () => (await import("./metrics/command.js")).metricsCommand,
  },
  {
    name: "logs",
    summary: "what a sandbox's shim, and the agent in its guest, have logged",
    load: async () => (await import("./logs/command.js")).logsCommand,
  },
  {
    name: "exec",
    summary: "a shell in a guest, outside of its containers",
    load: async () => (await import("./exec/command.js")).execCommand,
  },
  {
    name: "upgrade-fsd",
    summary: "put another build of kata-fsd in place, under running guests",
    load: async () => (await import("./upgrade-fsd.js")).upgradeFsdCommand,
  },
  {
    name: "gc",
    summary: "remove what dead sandboxes left",
    load: async () => (await import("./gc.js")).gcCommand,
  },
  {
    name: "config",
    summary: "show, check, import the configuration",
    load: async () => (await import("./config/command.js")).configCommand,
  },
  {
    name: "install",
    summary: "make kata-fs a runtime of this machine's containerd",
    load: async () => (await import("./install/install.js")).installCommand,
  },
  {
    name: "uninstall",
    summary: "take back what install has done",
    load: async () => (await import("./install/uninstall.js")).uninstallCommand,
  },
];
