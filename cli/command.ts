/** Where a sub-command writes to. What it was asked for goes to `out`, everything else to `err`. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
}

/** A sub-command of `kata-fs`. */
export interface Command {
  /** What its help says after the summary: forms of the call, options, an example. */
  readonly usage: string;
  /**
   * @param words of the command line, behind the command's name
   * @returns the exit status
   * @throws UsageError for words that it cannot follow
   */
  run(words: readonly string[], output: Output): Promise<number>;
}

/** A command line that cannot be followed; the message says what was found and what is needed. Exit status 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
