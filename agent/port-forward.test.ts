import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test } from "node:test";
import { forwardPort } from "./port-forward.js";

describe("forwardPort", () => {
  let directory: string;
  let path: string;
  let agent: Server;
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "port-forward-"));
    path = join(directory, "agent");
    agent = createServer({ allowHalfOpen: true }, forwardPort).listen(path);
    await once(agent, "listening");
  });
  after(() => {
    agent.close();
    rmSync(directory, { recursive: true });
  });

  async function ask(request: string): Promise<string> {
    const socket = connect({ path, allowHalfOpen: true });
    socket.end(request);
    return await text(socket);
  }

  /** A server that answers what it was sent, when that has ended. @returns its port */
  async function listenAt(host: string): Promise<{ server: Server; port: number }> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      const chunks: Buffer[] = [];
      socket.on("data", (chunk) => chunks.push(chunk));
      socket.on("end", () => socket.end(`got ${Buffer.concat(chunks)}`));
    }).listen(0, host);
    await once(server, "listening");
    return { server, port: (server.address() as AddressInfo).port };
  }

  for (const host of ["127.0.0.1", "::1"]) {
    test(`reaches a port of ${host}, and passes each side's end on`, async () => {
      const { server, port } = await listenAt(host);
      assert.equal(await ask(`CONNECT ${port}\nhello`), `OK ${port}\ngot hello`);
      server.close();
    });
  }

  test("ends the connection for a port at which nobody listens", async () => {
    const { server, port } = await listenAt("127.0.0.1");
    server.close();
    await once(server, "close");
    assert.equal(await ask(`CONNECT ${port}\n`), "");
  });

  test("ends the connection for anything but a request", async () => {
    for (const request of ["CONNECT 65536\n", "GET / HTTP/1.1\n", ""]) assert.equal(await ask(request), "");
  });
});
