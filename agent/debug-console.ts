import { closeSync } from "node:fs";
import type { Duplex } from "node:stream";
import { ReadStream } from "node:tty";
import { log } from "./log.js";
import { openPseudoTerminal } from "./sys/pseudo-terminal.js";
import { spawn } from "./sys/spawn.js";

/** Makes the shell the first of a session whose terminal its standard input is. */
const SET_SESSION = ["/usr/bin/setsid", "-c"] as const;
const SHELL = ["/bin/sh", "-i"] as const;
const ENVIRONMENT = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=linux"];

/**
 * Gives the host a shell of the guest's own, not of a container, as Kata's agent does: the connection is the shell's terminal, without
 * any protocol. The end of either is the end of the other.
 */
export function openShell(connection: Duplex): void {
  connection.on("error", () => connection.destroy());
  try {
    joinTerminal(connection, startShell());
  } catch (error) {
    log("warn", "the debug console has no shell", { error });
    connection.destroy();
  }
}

/** @returns the other side of the shell's terminal. @throws SysError */
function startShell(): number {
  const { master, slave } = openPseudoTerminal();
  try {
    const [program, ...options] = SET_SESSION;
    const pid = spawn(program, [...options, ...SHELL], ENVIRONMENT, [slave, slave, slave]);
    log("info", "debug console", { pid });
    return master;
  } catch (error) {
    closeSync(master);
    throw error;
  } finally {
    closeSync(slave);
  }
}

function joinTerminal(connection: Duplex, master: number): void {
  // Its name notwithstanding it is both sides of the terminal, as every net.Socket is.
  const options = { readable: true, writable: true };
  const terminal = new ReadStream(master, options);
  connection.pipe(terminal, { end: false });
  terminal.pipe(connection, { end: false });
  // EIO is how a terminal ends when its last process is gone.
  terminal.on("error", () => terminal.destroy());
  terminal.on("close", () => connection.end());
  // A terminal that is closed hangs up: the kernel sends SIGHUP to the session.
  connection.on("end", () => terminal.destroy());
  connection.on("close", () => terminal.destroy());
}
