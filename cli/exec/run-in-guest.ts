import { randomBytes } from "node:crypto";
import type { Socket } from "node:net";
import { AnswerFilter } from "./answer-filter.js";
import { GuestError } from "./guest-error.js";
import { introduction, scriptFor, type TerminalSize } from "./script.js";

/** A shell that has said nothing for so long is none. */
const SHELL_LIMIT_MS = 20_000;

/** The user's side of a command. */
export interface UserSide {
  /** With a terminal of this size, whose input goes to the command. */
  readonly terminal: TerminalSize | undefined;
  output(bytes: Buffer): void;
  /** The command runs: input may be sent. */
  started(send: (bytes: Buffer) => void): void;
}

/**
 * Runs a command in the shell at the other end of a connection, which is a terminal: its output and its complaints come as one.
 *
 * @returns its exit status
 * @throws GuestError when the shell ends before the command
 */
export function runInGuest(connection: Socket, command: string, user: UserSide): Promise<number> {
  const token = randomBytes(8).toString("hex");
  const script = Buffer.from(scriptFor(command, token, user.terminal));
  return new Promise((resolve, reject) => {
    const fail = (message: string) => {
      connection.destroy();
      reject(new GuestError(message));
    };
    const late = setTimeout(() => fail("the guest has given no shell"), SHELL_LIMIT_MS);
    const filter = new AnswerFilter(
      token,
      () => void connection.write(script),
      () => {
        clearTimeout(late);
        user.started((bytes) => void connection.write(bytes));
      },
      (bytes) => user.output(bytes),
      (status) => {
        resolve(status);
        connection.destroy();
      },
    );
    connection.on("data", (chunk: Buffer) => filter.push(chunk));
    connection.on("error", ({ message }) => fail(`the connection to the guest broke: ${message}`));
    // After the command's end nobody hears this.
    connection.on("close", () => {
      clearTimeout(late);
      fail("the guest's shell has ended before the command");
    });
    connection.write(introduction(token, script.length));
  });
}
