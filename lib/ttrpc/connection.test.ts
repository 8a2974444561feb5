import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer as createNetServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { encodeRequest } from "./envelope.js";
import { encodeFrame, FrameDecoder, FrameType } from "./frame.js";
import { createClient, createServer, MAX_PAYLOAD_BYTES, StatusCode, TtrpcError } from "./index.js";

const SERVICE = "test.v1.Echo";

describe("client and server on a UNIX socket", () => {
  let directory: string;
  let listener: Server;
  const seen: { deadlineMs?: number | undefined; metadata?: ReadonlyMap<string, string>; aborted: number } = {
    aborted: 0,
  };
  const server = createServer({
    services: {
      [SERVICE]: {
        Echo: async (payload, context) => {
          seen.deadlineMs = context.deadlineMs;
          seen.metadata = context.metadata;
          return payload;
        },
        Fail: async () => {
          throw new TtrpcError(StatusCode.ALREADY_EXISTS, "there is one");
        },
        Crash: async () => {
          throw new Error("boom");
        },
        Wait: (_payload, context) =>
          new Promise((_, reject) => {
            context.signal.addEventListener("abort", () => {
              seen.aborted++;
              reject(new Error("aborted"));
            });
          }),
        Large: async () => new Uint8Array(MAX_PAYLOAD_BYTES + 1),
      },
    },
  });

  before(async () => {
    directory = mkdtempSync(join(tmpdir(), "ttrpc-"));
    listener = createNetServer((socket) => server.handle(socket));
    await new Promise<void>((resolve) => listener.listen(join(directory, "s"), resolve));
  });
  after(async () => {
    await server.close();
    await new Promise((resolve) => listener.close(resolve));
    rmSync(directory, { recursive: true });
  });

  const open = () =>
    new Promise<Socket>((resolve) => {
      const socket = connect(join(directory, "s"), () => resolve(socket));
    });

  it("answers calls, with metadata and deadline known to the handler", async () => {
    const client = createClient(await open());
    const reply = await client.call(SERVICE, "Echo", Buffer.from("hello"), {
      timeoutMs: 60_000,
      metadata: { "containerd-namespace-ttrpc": "default" },
    });
    assert.equal(Buffer.from(reply).toString(), "hello");
    assert.equal(seen.metadata?.get("containerd-namespace-ttrpc"), "default");
    assert.ok(seen.deadlineMs !== undefined && seen.deadlineMs > Date.now());
    client.close();
    await client.closed;
  });

  it("carries statuses, and turns other errors into UNKNOWN", async () => {
    const client = createClient(await open());
    await assert.rejects(client.call(SERVICE, "Fail", Buffer.alloc(0)), {
      code: StatusCode.ALREADY_EXISTS,
      rawMessage: "there is one",
    });
    await assert.rejects(client.call(SERVICE, "Crash", Buffer.alloc(0)), {
      code: StatusCode.UNKNOWN,
      rawMessage: "boom",
    });
    await assert.rejects(client.call(SERVICE, "constructor", Buffer.alloc(0)), {
      code: StatusCode.UNIMPLEMENTED,
    });
    await assert.rejects(client.call("toString", "x", Buffer.alloc(0)), { code: StatusCode.UNIMPLEMENTED });
    client.close();
  });

  it("lets one call wait while a thousand others are answered", async () => {
    const client = createClient(await open());
    const waiting = client.call(SERVICE, "Wait", Buffer.alloc(0));
    const numbers = Array.from({ length: 1000 }, (_, index) => index);
    const replies = await Promise.all(
      numbers.map((n) => client.call(SERVICE, "Echo", Buffer.from(String(n)))),
    );
    assert.deepEqual(
      replies.map((reply) => Number(Buffer.from(reply).toString())),
      numbers,
    );
    client.close();
    await assert.rejects(waiting, { code: StatusCode.UNAVAILABLE, rawMessage: "ttrpc: closed" });
  });

  it("gives up at the deadline and on a signal, and keeps the connection", async () => {
    const client = createClient(await open());
    await assert.rejects(client.call(SERVICE, "Wait", Buffer.alloc(0), { timeoutMs: 20 }), {
      code: StatusCode.DEADLINE_EXCEEDED,
    });
    const abort = new AbortController();
    const call = client.call(SERVICE, "Wait", Buffer.alloc(0), { signal: abort.signal });
    abort.abort(new Error("no longer needed"));
    await assert.rejects(call, { code: StatusCode.CANCELLED });
    assert.equal(Buffer.from(await client.call(SERVICE, "Echo", Buffer.from("x"))).toString(), "x");
    client.close();
  });

  it("aborts what runs for a connection that is gone", async () => {
    const before = seen.aborted;
    const client = createClient(await open());
    const call = client.call(SERVICE, "Wait", Buffer.alloc(0));
    await client.call(SERVICE, "Echo", Buffer.alloc(0));
    client.close();
    await assert.rejects(call);
    while (seen.aborted === before) await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it("passes 4 MiB less the envelope, and refuses more on either side", async () => {
    const client = createClient(await open());
    const payload = Buffer.alloc(MAX_PAYLOAD_BYTES - 64, 7);
    assert.ok(payload.equals(await client.call(SERVICE, "Echo", payload)));
    await assert.rejects(client.call(SERVICE, "Echo", Buffer.alloc(MAX_PAYLOAD_BYTES)), {
      code: StatusCode.RESOURCE_EXHAUSTED,
    });
    await assert.rejects(client.call(SERVICE, "Large", Buffer.alloc(0)), {
      code: StatusCode.RESOURCE_EXHAUSTED,
    });
    client.close();
  });

  it("refuses even and used stream ids, oversize and undecodable requests, and serves on", async () => {
    const socket = await open();
    const request = encodeRequest({
      service: SERVICE,
      method: "Echo",
      payload: Buffer.alloc(0),
      timeoutMs: 0,
      metadata: new Map(),
    });
    const oversize = Buffer.alloc(10 + MAX_PAYLOAD_BYTES + 1);
    oversize.writeUInt32BE(MAX_PAYLOAD_BYTES + 1, 0);
    oversize.writeUInt32BE(5, 4);
    oversize.writeUInt8(FrameType.REQUEST, 8);
    for (const frame of [
      encodeFrame(2, FrameType.REQUEST, request),
      encodeFrame(3, FrameType.REQUEST, request),
      encodeFrame(3, FrameType.REQUEST, request),
      oversize,
      encodeFrame(7, FrameType.REQUEST, Buffer.from([0x0a])),
      encodeFrame(9, FrameType.REQUEST, request),
    ]) {
      socket.write(frame);
    }
    const answers = new Map<string, string>();
    const decoder = new FrameDecoder();
    for await (const chunk of socket) {
      for (const frame of decoder.push(chunk)) {
        answers.set(
          `${frame.streamId}.${answers.size}`,
          Buffer.from(frame.payload).toString("hex").slice(0, 8),
        );
      }
      if (answers.size === 6) break;
    }
    // A status field with code 3 begins 0a..0803; the reply to Echo is an empty payload.
    const codes = [...answers.values()].map((hex) =>
      hex === "1200" ? "ok" : Number.parseInt(hex.slice(6), 16),
    );
    assert.deepEqual(codes.sort(), [
      StatusCode.INVALID_ARGUMENT,
      StatusCode.INVALID_ARGUMENT,
      StatusCode.INVALID_ARGUMENT,
      StatusCode.RESOURCE_EXHAUSTED,
      "ok",
      "ok",
    ]);
  });
});
