import { closeSync } from "node:fs";
import type { Duplex } from "node:stream";
import { log } from "./log.js";
import { openPseudoTerminal } from "./sys/pseudo-terminal.js";
import { spawn } from "./sys/spawn.js";
import { openTerminal } from "./sys/terminal.js";

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
  const { input, output } = openTerminal(master);
  connection.pipe(input, { end: false });
  output.pipe(connection);
  // Input for a shell that has gone; the end of the output tells.
  input.on("error", () => {});
  output.on("error", (error) => connection.destroy(error));
  // A terminal that is closed hangs up: the kernel sends SIGHUP to the session.
  const hangUp = () => {
    input.destroy();
    output.destroy();
    connection.end();
  };
  connection.on("end", hangUp);
  connection.on("close", hangUp);
}
