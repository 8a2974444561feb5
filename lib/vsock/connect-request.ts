import type { Duplex } from "node:stream";

/** "CONNECT 4294967295\n" is the longest request. */
const REQUEST_BYTES_MAX = 19;
/** Of a vsock port. */
const PORT_MAX = 0xffff_ffff;

/** @returns the port of a whole request line; undefined for anything else */
export function parseConnectRequest(line: string): number | undefined {
  const [, digits] = /^CONNECT (\d{1,10})\n$/.exec(line) ?? [];
  const port = Number(digits);
  return digits === undefined || port > PORT_MAX ? undefined : port;
}

/** The first line of a request or its answer, with its end; whatever came instead where there is none. What follows stays in the stream. */
export async function readLine(stream: Duplex): Promise<string> {
  let line = "";
  while (line.length < REQUEST_BYTES_MAX && !line.endsWith("\n")) {
    const byte: Buffer | null = stream.read(1);
    if (byte !== null) {
      line += byte.toString("latin1");
      continue;
    }
    if (stream.readableEnded || stream.destroyed) break;
    await new Promise<void>((resolve) => {
      for (const event of ["readable", "end", "close"]) stream.once(event, () => resolve());
    });
  }
  return line;
}

/** Each side's end of stream is the other one's; a side that breaks takes the other one with it. */
export function joinStreams(left: Duplex, right: Duplex): void {
  left.pipe(right);
  right.pipe(left);
  for (const [from, to] of [
    [left, right],
    [right, left],
  ] as const) {
    from.once("error", () => to.destroy());
    from.once("close", () => {
      if (!from.readableEnded) to.destroy();
    });
  }
}
