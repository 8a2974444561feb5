/** What stopped set-up or the run, in the words of whoever has to put it right. */
export interface Obstacle {
  /** What was found, such as "QEMU 7.2.15 at /usr/bin/qemu-system-x86_64". */
  readonly found: string;
  /** What is needed instead, such as "QEMU 11.1 or newer". */
  readonly needed: string;
}

/**
 * The error of set-up and of the run: its message is one line that says what was found and what is needed. Programs print
 * the message alone and exit with status 1; anything that is not a SetupError is a defect and keeps its stack.
 */
export class SetupError extends Error {
  override readonly name = "SetupError";

  constructor({ found, needed }: Obstacle, options?: { cause?: unknown }) {
    super(`${oneLine(found)}; needed: ${oneLine(needed)}`, options);
  }
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
