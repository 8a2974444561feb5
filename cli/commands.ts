import type { Command } from "./command.js";

/** What the overview of all commands has of each; the rest of it is loaded when it is asked for. */
export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  load(): Promise<Command>;
}

export const COMMANDS: readonly CommandEntry[] = [
  {
    name: "config",
    summary: "show, check, import the configuration",
    load: async () => (await import("./config/command.js")).configCommand,
  },
];
