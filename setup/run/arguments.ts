import { SetupError } from "../setup-error.js";

/** What `npm start -- …` asked for. */
export interface RunRequest {
  /** Command for the container; undefined for the demonstration and its report. */
  readonly command: readonly string[] | undefined;
  /** True to give the container a terminal. */
  readonly terminal: boolean;
}

/**
 * Parses the words after `npm start --`: the flags -i, -t or -it as other container tools have them (standard input is
 * always connected, so -i changes nothing), then the command, whose own flags are left alone.
 *
 * @throws SetupError for another flag, or flags without a command.
 */
export function parseRunRequest(words: readonly string[]): RunRequest {
  let terminal = false;
  for (const [index, word] of words.entries()) {
    if (word === "--") return { command: required(words.slice(index + 1)), terminal };
    if (!word.startsWith("-")) return { command: words.slice(index), terminal };
    if (!/^-(i|t|it|ti)$/.test(word)) {
      throw new SetupError({
        found: `the option ${word}`,
        needed: "npm start [-- [-it] COMMAND [ARGUMENT …]]",
      });
    }
    terminal ||= word.includes("t");
  }
  return { command: words.length === 0 ? undefined : required([]), terminal };
}

function required(command: readonly string[]): readonly string[] {
  if (command.length > 0) return command;
  throw new SetupError({
    found: "options but no command",
    needed: "npm start -- [-it] COMMAND [ARGUMENT …]",
  });
}
