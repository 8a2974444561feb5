import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { describe, it } from "node:test";
import { decodeRequest, encodeReply } from "./envelope.js";
import { encodeFrame, type Frame, FrameDecoder, FrameType, MAX_PAYLOAD_BYTES } from "./frame.js";
import { createClient, StatusCode } from "./index.js";

const EMPTY = new Uint8Array(0);

/** A stream whose peer is the test: it takes a write only when the test lets it. */
class Peer extends Duplex {
  readonly frames: Frame[] = [];
  readonly #decoder = new FrameDecoder();
  #taken: (() => void) | undefined;

  constructor(private readonly isBlocked = false) {
    super();
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, taken: () => void): void {
    this.frames.push(...this.#decoder.push(chunk));
    if (this.isBlocked) this.#taken = taken;
    else taken();
  }

  /** Takes the write that waits, and sees the stream through what comes of it. */
  async takeWrite(): Promise<void> {
    this.#taken?.();
    await new Promise((resolve) => setImmediate(resolve));
  }

  reply(streamId: number, payload: Uint8Array): void {
    this.push(encodeFrame(streamId, FrameType.RESPONSE, encodeReply(payload)));
  }
}

describe("client", () => {
  it("numbers its streams 1, 3, 5, with no flags, and takes answers in any order", async () => {
    const peer = new Peer();
    const client = createClient(peer);
    const calls = ["a", "b", "c"].map((method) => client.call("s", method, EMPTY));
    assert.deepEqual(
      peer.frames.map(({ streamId, type, flags, payload }) => [
        streamId,
        type,
        flags,
        decodeRequest(payload).method,
      ]),
      [
        [1, FrameType.REQUEST, 0, "a"],
        [3, FrameType.REQUEST, 0, "b"],
        [5, FrameType.REQUEST, 0, "c"],
      ],
    );
    for (const id of [5, 1, 3]) peer.reply(id, Uint8Array.of(id));
    assert.deepEqual(
      (await Promise.all(calls)).map((reply) => [...reply]),
      [[1], [3], [5]],
    );
  });

  it("tells the server its limit, and no limit as none", async () => {
    const peer = new Peer();
    const client = createClient(peer);
    const calls = [1500, Number.POSITIVE_INFINITY, 1e15, undefined].map((timeoutMs) =>
      client.call("s", "m", EMPTY, timeoutMs === undefined ? {} : { timeoutMs }),
    );
    assert.deepEqual(
      peer.frames.map(({ payload }) => decodeRequest(payload).timeoutMs),
      [1500, 0, 0, 0],
    );
    client.close();
    await Promise.allSettled(calls);
  });

  it("does not begin a call whose time has passed, or whose caller has gone", async () => {
    const peer = new Peer();
    const client = createClient(peer);
    for (const timeoutMs of [0, -1, Number.NaN, Number.NEGATIVE_INFINITY]) {
      await assert.rejects(client.call("s", "m", EMPTY, { timeoutMs }), {
        code: StatusCode.DEADLINE_EXCEEDED,
      });
    }
    await assert.rejects(client.call("s", "m", EMPTY, { signal: AbortSignal.abort() }), {
      code: StatusCode.CANCELLED,
    });
    assert.deepEqual(peer.frames, []);
  });

  it("writes no more than the peer takes, and nothing for a call that was given up meanwhile", async () => {
    const peer = new Peer(true);
    const client = createClient(peer);
    const large = new Uint8Array(1 << 20);
    const abort = new AbortController();
    const first = client.call("s", "first", large);
    const second = client.call("s", "second", large, { signal: abort.signal });
    const third = client.call("s", "third", EMPTY);
    assert.ok(peer.writableLength < 2 * large.length);
    abort.abort();
    await assert.rejects(second, { code: StatusCode.CANCELLED });
    await peer.takeWrite();
    assert.deepEqual(
      peer.frames.map(({ streamId, payload }) => [streamId, decodeRequest(payload).method]),
      [
        [1, "first"],
        [3, "third"],
      ],
    );
    client.close();
    for (const call of [first, third]) await assert.rejects(call, { code: StatusCode.UNAVAILABLE });
  });

  it("fails every call, sent or not, with the reason when the connection breaks", async () => {
    const peer = new Peer(true);
    const client = createClient(peer);
    const calls = [client.call("s", "m", new Uint8Array(1 << 20)), client.call("s", "m", EMPTY)];
    const cause = new Error("cable cut");
    const failures = calls.map((call) =>
      assert.rejects(call, { code: StatusCode.UNAVAILABLE, rawMessage: "ttrpc: closed", cause }),
    );
    peer.destroy(cause);
    await Promise.all([...failures, client.closed]);
    await assert.rejects(client.call("s", "m", EMPTY), { code: StatusCode.UNAVAILABLE, cause });
  });

  it("fails on a stream that was dead before", async () => {
    for (const kill of [(peer: Peer) => peer.destroy(), (peer: Peer) => peer.resume().push(null)]) {
      const peer = new Peer();
      kill(peer);
      await new Promise((resolve) => setImmediate(resolve));
      const client = createClient(peer);
      await assert.rejects(client.call("s", "m", EMPTY), { code: StatusCode.UNAVAILABLE });
      await client.closed;
    }
  });

  it("ends when the server ends its side", async () => {
    const peer = new Peer();
    const client = createClient(peer);
    const call = client.call("s", "m", EMPTY);
    peer.push(null);
    await assert.rejects(call, { code: StatusCode.UNAVAILABLE });
    await client.closed;
    assert.equal(peer.destroyed, true);
  });

  it("survives answers that nobody asked for, that are too long, or that cannot be decoded", async () => {
    const peer = new Peer();
    const client = createClient(peer);
    const calls = ["a", "b", "c"].map((method) => client.call("s", method, EMPTY));
    peer.reply(99, EMPTY);
    peer.reply(2, EMPTY);
    peer.push(encodeFrame(1, FrameType.DATA, EMPTY));
    peer.push(encodeFrame(1, FrameType.REQUEST, EMPTY));
    peer.push(encodeFrame(1, FrameType.RESPONSE, Uint8Array.of(0x12)));
    const header = Buffer.from(encodeFrame(3, FrameType.RESPONSE, EMPTY));
    header.writeUInt32BE(MAX_PAYLOAD_BYTES + 1, 0);
    peer.push(header);
    peer.push(Buffer.alloc(MAX_PAYLOAD_BYTES + 1));
    peer.reply(5, Uint8Array.of(5));
    const [undecodable, oversize, good] = calls;
    await assert.rejects(undecodable ?? assert.fail(), { code: StatusCode.INTERNAL });
    await assert.rejects(oversize ?? assert.fail(), { code: StatusCode.RESOURCE_EXHAUSTED });
    assert.deepEqual([...((await good) ?? [])], [5]);
    client.close();
  });
});
