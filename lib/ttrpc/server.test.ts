import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { describe, it } from "node:test";
import { decodeReply, encodeRequest } from "./envelope.js";
import { encodeFrame, type Frame, FrameDecoder, FrameFlag, FrameType, MAX_PAYLOAD_BYTES } from "./frame.js";
import { createServer, type ServiceTable, StatusCode, TtrpcError } from "./index.js";

const EMPTY = new Uint8Array(0);

/** A client made of bytes. */
class Peer extends Duplex {
  readonly #decoder = new FrameDecoder();
  readonly #answers: Frame[] = [];
  #arrived = () => {};
  #taken: (() => void) | undefined;
  #nextStreamId = 1;
  isBlocked = false;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, taken: () => void): void {
    this.#answers.push(...this.#decoder.push(chunk));
    this.#arrived();
    if (this.isBlocked) this.#taken = taken;
    else taken();
  }

  unblock(): void {
    this.isBlocked = false;
    this.#taken?.();
  }

  request(service: string, method: string, payload: Uint8Array = EMPTY, timeoutMs = 0): number {
    const streamId = this.#nextStreamId;
    this.#nextStreamId += 2;
    const message = encodeRequest({ service, method, payload, timeoutMs, metadata: new Map() });
    this.push(encodeFrame(streamId, FrameType.REQUEST, message));
    return streamId;
  }

  /** The next answer: its stream, and its payload or status. */
  async answer(): Promise<{ streamId: number; reply: Uint8Array | TtrpcError }> {
    for (;;) {
      const frame = this.#answers.shift();
      if (frame !== undefined) {
        assert.deepEqual([frame.type, frame.flags], [FrameType.RESPONSE, 0]);
        return { streamId: frame.streamId, reply: decodeReply(frame.payload) };
      }
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }

  async status(): Promise<TtrpcError> {
    const { reply } = await this.answer();
    return reply instanceof TtrpcError ? reply : assert.fail("it is a reply");
  }
}

function serve(methods: ServiceTable[string], onError?: (error: unknown) => void) {
  const server = createServer({ services: { s: methods }, ...(onError && { onError }) });
  const peer = new Peer();
  server.handle(peer);
  return { server, peer };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("server", () => {
  it("answers at the deadline for a handler that does not", async () => {
    let reason: unknown;
    const { peer } = serve({
      Wait: (_payload, { signal }) => {
        signal.addEventListener("abort", () => {
          reason = signal.reason;
        });
        return new Promise(() => {});
      },
    });
    peer.request("s", "Wait", EMPTY, 10);
    assert.equal((await peer.status()).code, StatusCode.DEADLINE_EXCEEDED);
    assert.ok(reason instanceof TtrpcError && reason.code === StatusCode.DEADLINE_EXCEEDED);
  });

  it("does not begin a call whose deadline had passed when it was sent", async () => {
    const { peer } = serve({ Do: async () => assert.fail("it ran") });
    peer.request("s", "Do", EMPTY, -1);
    assert.equal((await peer.status()).code, StatusCode.DEADLINE_EXCEEDED);
  });

  it("answers a status whose text is too long for a frame with the beginning of it", async () => {
    const { peer } = serve({
      Fail: async () => {
        throw new TtrpcError(StatusCode.NOT_FOUND, "x".repeat(MAX_PAYLOAD_BYTES));
      },
    });
    peer.request("s", "Fail");
    const error = await peer.status();
    assert.equal(error.code, StatusCode.NOT_FOUND);
    assert.match(error.rawMessage, /^x{1000,}…$/);
    peer.request("u".repeat(MAX_PAYLOAD_BYTES - 12), "m");
    assert.equal((await peer.status()).code, StatusCode.UNIMPLEMENTED);
  });

  it("never answers a failure as a success", async () => {
    for (const code of [StatusCode.OK, 1.5, Number.NaN]) {
      const { peer } = serve({
        Fail: async () => {
          throw new TtrpcError(code, "no");
        },
      });
      peer.request("s", "Fail");
      assert.equal((await peer.status()).code, StatusCode.UNKNOWN);
    }
  });

  it("shows failures to the observer as they were thrown", async () => {
    const failure = new Error("handler");
    const seen: unknown[] = [];
    const fail = () => {
      throw failure;
    };
    const { peer } = serve({ Fail: fail }, (error) => seen.push(error));
    peer.request("s", "Fail");
    assert.equal((await peer.status()).rawMessage, "handler");
    assert.deepEqual(seen, [failure]);
  });

  it("refuses data of streams, once each, and passes over their ends and foreign frames", async () => {
    const { peer } = serve({ Echo: async (payload) => payload });
    peer.push(encodeFrame(1, FrameType.DATA, EMPTY));
    assert.equal((await peer.status()).code, StatusCode.UNIMPLEMENTED);
    peer.push(encodeFrame(1, FrameType.DATA, EMPTY, FrameFlag.REMOTE_CLOSED | FrameFlag.NO_DATA));
    peer.push(encodeFrame(1, FrameType.RESPONSE, EMPTY));
    peer.push(encodeFrame(1, 77, EMPTY));
    const streamId = peer.request("s", "Echo", Uint8Array.of(1));
    assert.deepEqual(await peer.answer(), { streamId, reply: Buffer.of(1) });
  });

  it("reads no further requests while too many answers wait to be sent", async () => {
    const { peer } = serve({ Echo: async (payload) => payload });
    peer.isBlocked = true;
    const payload = new Uint8Array(MAX_PAYLOAD_BYTES - 100);
    for (let count = 0; count < 18; count++) {
      peer.request("s", "Echo", payload);
      await turn();
    }
    assert.equal(peer.isPaused(), true);
    peer.unblock();
    for (let count = 0; count < 18; count++) await peer.answer();
    assert.equal(peer.isPaused(), false);
  });

  it("closes after the calls under way, and begins no others", async () => {
    let finish = (_reply: Uint8Array) => {};
    const { server, peer } = serve({
      Slow: () =>
        new Promise((resolve) => {
          finish = resolve;
        }),
    });
    const slow = peer.request("s", "Slow");
    await turn();
    const closed = server.close();
    peer.request("s", "Slow");
    assert.equal((await peer.status()).code, StatusCode.UNAVAILABLE);
    finish(Uint8Array.of(7));
    assert.deepEqual(await peer.answer(), { streamId: slow, reply: Buffer.of(7) });
    await closed;
    assert.equal(peer.destroyed, true);
    await turn();
    assert.equal(server.connections, 0);
  });

  it("closes without waiting for a caller that has gone", async () => {
    const { server, peer } = serve({ Wait: () => new Promise(() => {}) });
    peer.request("s", "Wait");
    await turn();
    const closed = server.close();
    peer.destroy();
    await closed;
  });

  it("counts connections, of which dead streams are none for long", async () => {
    const counts: number[] = [];
    const server = createServer({ services: {}, onConnections: (count) => counts.push(count) });
    const [live, dead] = [new Peer(), new Peer()];
    dead.destroy();
    await turn();
    server.handle(live);
    server.handle(dead);
    await turn();
    live.destroy();
    await turn();
    assert.deepEqual(counts, [1, 2, 1, 0]);
  });
});
