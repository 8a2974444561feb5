import { readlinkSync } from "node:fs";
import { close } from "./file.js";
import { connectUnixDatagram, sendDatagram } from "./unix-socket.js";

/** Severities of RFC 3164, section 4.1.1. */
export const Severity = { error: 3, warning: 4, informational: 6, debug: 7 } as const;
export type SeverityNumber = (typeof Severity)[keyof typeof Severity];

/** System daemons. */
const FACILITY = 3;
/** RFC 3164, section 4.1: longer ones need not be taken. */
const PACKET_BYTES_MAX = 1024;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * A packet as syslog(3) sends it to the local daemon: RFC 3164, without the name of the host. It is cut after 1024 bytes.
 * @param date its local time is used
 */
export function syslogPacket(
  tag: string,
  pid: number,
  severity: SeverityNumber,
  date: Date,
  line: string,
): Buffer {
  const two = (number: number, filler: string) => `${number}`.padStart(2, filler);
  const day = `${MONTHS[date.getMonth()]} ${two(date.getDate(), " ")}`;
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()]
    .map((part) => two(part, "0"))
    .join(":");
  const packet = Buffer.from(`<${FACILITY * 8 + severity}>${day} ${time} ${tag}[${pid}]: ${line}`);
  return packet.subarray(0, PACKET_BYTES_MAX);
}

/** Where the machine's log listens. */
export const SYSLOG_PATH = "/dev/log";

/** The machine's log. */
export class Syslog {
  private constructor(
    private readonly fd: number,
    private readonly tag: string,
    private readonly pid: number,
  ) {}

  /** @throws SysError where nobody listens */
  static connect(tag: string, path = SYSLOG_PATH): Syslog {
    // A process of a namespace of its own is looked for by the number that the host knows it by, which only the host's /proc tells.
    const pid = Number(readlinkSync("/proc/self"));
    return new Syslog(connectUnixDatagram(path), tag, pid);
  }

  /** Sends each line of `message`. One for which there is no room is lost: a log that is full must not hold up the sender. */
  send(severity: SeverityNumber, message: string): void {
    for (const line of message.split("\n")) {
      sendDatagram(this.fd, syslogPacket(this.tag, this.pid, severity, new Date(), line));
    }
  }

  close(): void {
    close(this.fd);
  }
}
