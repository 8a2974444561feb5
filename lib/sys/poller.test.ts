import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createEventfd, drainEventfd, signalEventfd } from "./eventfd.js";
import { FdStream } from "./fd-stream.js";
import { close } from "./file.js";
import { addressOf, bind, check } from "./libc.js";
import { Poller } from "./poller.js";

const socketpair = bind<(domain: number, type: number, protocol: number, fds: number) => number>(
  "int socketpair(int domain, int type, int protocol, uintptr_t fds)",
);
const AF_UNIX = 1;
const SOCK_STREAM_NONBLOCK = 1 | 0o4000;

function pair(): [number, number] {
  const fds = new Int32Array(2);
  check(socketpair(AF_UNIX, SOCK_STREAM_NONBLOCK, 0, addressOf(fds)), "socketpair");
  return [fds[0] ?? -1, fds[1] ?? -1];
}

describe("Poller", () => {
  it("calls back for each signal of an eventfd, and no more after remove", async () => {
    const poller = new Poller();
    const fd = createEventfd();
    let calls = 0;
    let wake = () => {};
    const watch = poller.watch(fd, () => {
      calls++;
      drainEventfd(fd);
      wake();
    });
    for (let round = 1; round <= 3; round++) {
      const called = new Promise<void>((resolve) => {
        wake = resolve;
      });
      signalEventfd(fd);
      await called;
      assert.equal(calls, round);
    }
    watch.remove();
    signalEventfd(fd);
    const other = createEventfd();
    await new Promise<void>((resolve) => {
      poller.watch(other, () => resolve());
      signalEventfd(other);
    });
    assert.equal(calls, 3);
    poller.close();
    close(fd);
    close(other);
  });
});

describe("Watch", () => {
  it("reports nothing to somebody who wants nothing, not even a hang-up, until he does", async () => {
    const poller = new Poller();
    const [left, right] = pair();
    let calls = 0;
    let wake = () => {};
    const watch = poller.watch(left, () => {
      calls++;
      watch.set(false, false);
      wake();
    });
    watch.set(false, false);
    watch.set(false, false);
    close(right);
    await sleep(30);
    assert.equal(calls, 0);
    const called = new Promise<void>((resolve) => {
      wake = resolve;
    });
    watch.set(true, false);
    await called;
    await sleep(30);
    assert.equal(calls, 1);
    watch.remove();
    poller.close();
    close(left);
  });
});

describe("FdStream", () => {
  it("carries 8 MiB each way at once, and each side's end of stream", async () => {
    const poller = new Poller();
    const [left, right] = pair().map((fd) => new FdStream(fd, poller)) as [FdStream, FdStream];
    const sent = Buffer.alloc(8 * 1024 * 1024, "0123456789abcdef!");
    const collect = async (stream: FdStream) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk) => chunks.push(chunk));
      await once(stream, "end");
      return Buffer.concat(chunks);
    };
    left.end(sent);
    right.end(sent);
    const [fromRight, fromLeft] = await Promise.all([collect(left), collect(right)]);
    assert.ok(sent.equals(fromRight));
    assert.ok(sent.equals(fromLeft));
    poller.close();
  });

  it("reports a write to a peer that is gone", async () => {
    const poller = new Poller();
    const [left, right] = pair();
    const stream = new FdStream(left, poller);
    close(right);
    stream.write("x");
    const [error] = await once(stream, "error");
    assert.equal(error.code, "EPIPE");
    poller.close();
  });
});
