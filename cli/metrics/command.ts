import { rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type Command, type Output, UsageError } from "../command.js";
import { readOptions } from "../options.js";
import { collectMetrics } from "./collect.js";
import { CONTENT_TYPE } from "./exposition.js";

const USAGE = `\
  kata-fs metrics [--json]
      The metrics of all sandboxes, in Prometheus' text format.
  kata-fs metrics --listen [HOST:]PORT | --listen PATH
      Answers GET /metrics with them, until it is ended. HOST is 127.0.0.1 unless it is given; PATH is that of a UNIX socket.

  Names that Kata's monitor has too are the same: kata_shim_*, kata_hypervisor_*, kata_virtiofsd_*, kata_guest_*. What only
  kata-fs has is kata_fs_*. docs/operations.md explains them, docs/grafana/kata-fs.json shows them.

  kata-fs metrics --listen 9110
`;

export const metricsCommand: Command = {
  usage: USAGE,
  run: async (words, output) => {
    const { values, positionals } = readOptions(words, {
      listen: { type: "string" },
      json: { type: "boolean", default: false },
    });
    if (positionals.length > 0) throw new UsageError(`unexpected argument ${positionals[0]}`);
    const warn = (message: string) => output.err(`kata-fs metrics: ${message}\n`);
    if (values.listen !== undefined) return await serve(values.listen, warn, output);
    const exposition = await collectMetrics(warn);
    output.out(
      values.json ? `${JSON.stringify({ metrics: exposition.toString().split("\n") })}\n` : `${exposition}`,
    );
    return 0;
  },
};

async function serve(listen: string, warn: (message: string) => void, output: Output): Promise<number> {
  const place = placeOf(listen);
  const server = createServer((request, response) => {
    const isRight = request.method === "GET" && request.url?.split("?")[0] === "/metrics";
    if (!isRight) {
      response.writeHead(404).end("GET /metrics\n");
      return;
    }
    collectMetrics(warn).then(
      (exposition) => response.writeHead(200, { "content-type": CONTENT_TYPE }).end(`${exposition}`),
      (error: unknown) => response.writeHead(500).end(`${error}\n`),
    );
  });
  const ended = new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.once("close", resolve);
  });
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      server.close();
      server.closeAllConnections();
    });
  }
  server.listen(place, () => {
    const { address, port } = server.address() as AddressInfo;
    output.err(`kata-fs metrics: at ${"path" in place ? place.path : `http://${address}:${port}/metrics`}\n`);
  });
  await ended;
  if ("path" in place) rmSync(place.path, { force: true });
  return 0;
}

/** @throws UsageError */
function placeOf(listen: string): { host: string; port: number } | { path: string } {
  if (listen.includes("/")) return { path: listen };
  const [, host = "127.0.0.1", port = ""] = /^(?:(.+):)?(\d{1,5})$/.exec(listen) ?? [];
  if (port === "" || Number(port) > 65_535) {
    throw new UsageError(`--listen ${listen}; needed: PORT, HOST:PORT or the path of a socket`);
  }
  return { host: host.replaceAll(/[[\]]/g, ""), port: Number(port) };
}
