import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { parseConnectRequest } from "./connect-request.js";
import { VsockStream } from "./stream.js";
import { acceptToUnix, serveUnixBridge, type UnixBridge } from "./unix-bridge.js";

describe("parseConnectRequest", () => {
  it("takes a port and nothing else", () => {
    assert.equal(parseConnectRequest("CONNECT 1024\n"), 1024);
    assert.equal(parseConnectRequest("CONNECT 4294967295\n"), 4294967295);
    for (const line of [
      "CONNECT 1024",
      "CONNECT 4294967296\n",
      "CONNECT -1\n",
      "connect 1\n",
      "CONNECT \n",
      "",
    ]) {
      assert.equal(parseConnectRequest(line), undefined, line);
    }
  });
});

describe("the UNIX side of a vsock device", () => {
  let directory: string;
  let echo: Server;
  let bridge: UnixBridge;

  /** Stands for the guest: port 7 echoes, every other one is refused. */
  const device = {
    async connect(port: number): Promise<Duplex> {
      if (port !== 7) throw new Error("ECONNREFUSED");
      const socket = connect({ path: join(directory, "echo"), allowHalfOpen: true });
      await once(socket, "connect");
      return socket;
    },
  };

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "vsock-"));
    echo = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(join(directory, "echo"), resolve));
    bridge = await serveUnixBridge(join(directory, "vsock.sock"), device);
  });
  after(async () => {
    await bridge.close();
    echo.close();
    rmSync(directory, { recursive: true });
  });

  const open = async (): Promise<Socket> => {
    const socket = connect({ path: join(directory, "vsock.sock"), allowHalfOpen: true });
    await once(socket, "connect");
    return socket;
  };
  const readAll = async (socket: Socket): Promise<string> => {
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk;
    });
    await once(socket, "close");
    return text;
  };

  it("connects to a port, whatever the pieces of the request, and passes the end of stream on", async () => {
    const socket = await open();
    const answer = readAll(socket);
    socket.write("CONN");
    await new Promise((resolve) => setTimeout(resolve, 10));
    socket.end("ECT 7\nhello");
    assert.match(await answer, /^OK \d+\nhello$/);
  });

  it("ends a connection to a port where nobody listens, and one that asks for nothing", async () => {
    for (const request of ["CONNECT 8\n", "GET / HTTP/1.1\r\n\r\n"]) {
      const socket = await open();
      socket.on("error", () => {}).on("end", () => socket.end());
      const answer = readAll(socket);
      socket.write(request);
      assert.equal(await answer, "");
    }
  });

  it("refuses a connection of the guest for which there is no socket", () => {
    const output = { payloadReady: () => {}, control: () => {}, gone: () => {} };
    assert.equal(acceptToUnix(join(directory, "vsock.sock"))(9, new VsockStream(9, 1, output)), false);
  });
});
