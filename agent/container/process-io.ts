import { closeSync } from "node:fs";
import { Socket } from "node:net";
import type { Writable } from "node:stream";
import { openPipe } from "../sys/pipe.js";
import type { LaunchIo } from "./oci-runtime.js";
import { OutputReader } from "./output-reader.js";

/** Our side of a process's standard streams. */
export interface ProcessIo {
  readonly stdin: Writable;
  readonly stdout: OutputReader;
  /** Absent with a terminal, where everything comes by stdout. */
  readonly stderr?: OutputReader;
  /** Lets the process read an end of file; does nothing with a terminal, which has none. */
  closeStdin(): void;
  /** Tells the terminal its size; absent without one. */
  resize?(rows: number, columns: number): void;
  close(): void;
}

/** Streams made for a process that is about to be launched. Exactly one of the methods is to be called, once. */
export interface PendingIo {
  readonly launchIo: LaunchIo;
  /** The process runs and has its ends. */
  connect(): ProcessIo;
  /** There is no process. */
  abandon(): void;
}

/** Three pipes. */
export function createPipeIo(): PendingIo {
  const stdin = openPipe();
  const stdout = openPipe();
  const stderr = openPipe();
  const processEnds = [stdin.readEnd, stdout.writeEnd, stderr.writeEnd] as const;
  const ourEnds = [stdin.writeEnd, stdout.readEnd, stderr.readEnd];
  return {
    launchIo: { stdio: processEnds },
    connect() {
      processEnds.forEach((fd) => void closeSync(fd));
      return connectPipes(stdin.writeEnd, stdout.readEnd, stderr.readEnd);
    },
    abandon() {
      for (const fd of [...processEnds, ...ourEnds]) closeSync(fd);
    },
  };
}

/**
 * How much output is taken from a process before somebody asks for it. A read of the protocol costs a round trip between guest
 * and host; with this much at hand the next one has a lot to carry.
 */
export const READ_AHEAD_BYTES = 256 * 1024;

function outputSocket(fd: number): Socket {
  const options = { fd, readable: true, writable: false, highWaterMark: READ_AHEAD_BYTES };
  return new Socket(options);
}

function connectPipes(stdinFd: number, stdoutFd: number, stderrFd: number): ProcessIo {
  const stdin = new Socket({ fd: stdinFd, readable: false, writable: true });
  // A process that closed its input makes writes fail; they tell it themselves.
  stdin.on("error", () => {});
  const stdout = new OutputReader(outputSocket(stdoutFd));
  const stderr = new OutputReader(outputSocket(stderrFd));
  return {
    stdin,
    stdout,
    stderr,
    closeStdin: () => void stdin.end(),
    close() {
      stdin.destroy();
      stdout.close();
      stderr.close();
    },
  };
}
