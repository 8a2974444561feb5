import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, test } from "node:test";
import { promisify } from "node:util";
import { TestNamespace, withoutNamespaces } from "../../../lib/netlink/testing.js";
import { parseConnectRequest, readLine } from "../../../lib/vsock/index.js";
import { PortForward } from "./port-forward.js";

const execute = promisify(execFile);
const logger = { debug() {}, info() {}, warn() {}, error() {} };
const OPEN_PORT = 8080;

/** The guest's side of the convention: a port that answers with what it was sent, and no other. */
async function serveGuest(connection: Duplex): Promise<void> {
  const port = parseConnectRequest(await readLine(connection));
  if (port !== OPEN_PORT) {
    connection.destroy();
    return;
  }
  connection.write(`OK ${port}\n`);
  connection.pipe(connection);
}

describe("the ports of a pod's loopback interface", { skip: withoutNamespaces() }, () => {
  let directory: string;
  let guest: Server;
  let pod: TestNamespace;
  let ports: PortForward;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "port-forward-"));
    const path = join(directory, "guest");
    guest = createServer({ allowHalfOpen: true }, (connection) => void serveGuest(connection)).listen(path);
    await once(guest, "listening");
    pod = new TestNamespace();
    pod.ip("link set lo up");
    pod.ip("addr add 10.66.0.2/32 dev lo");
    ports = PortForward.open(
      pod.namespace,
      async () => {
        const connection = connect({ path, allowHalfOpen: true });
        await once(connection, "connect");
        return connection;
      },
      logger,
    );
  });
  afterEach(async () => {
    await ports.close();
    guest.close();
    pod.close();
    rmSync(directory, { recursive: true });
  });

  /** Sends a line from within the namespace. @returns the line that comes back; rejects when none does */
  async function say(host: string, port: number, line: string): Promise<string> {
    const script = `exec 3<>/dev/tcp/${host}/${port} && echo ${line} >&3 && read -r answer <&3 && echo "$answer"`;
    const running = pod.namespace.run(() => execute("bash", ["-c", script]));
    return (await running).stdout;
  }

  for (const host of ["127.0.0.1", "127.0.0.9", "::1"]) {
    test(`are the guest's at ${host}`, async () => {
      assert.equal(await say(host, OPEN_PORT, "hello"), "hello\n");
    });
  }

  test("end a connection to a port at which the guest does not listen", async () => {
    await assert.rejects(say("127.0.0.1", OPEN_PORT + 1, "hello"));
  });

  test("are not those of other addresses", async () => {
    await assert.rejects(say("10.66.0.2", OPEN_PORT, "hello"));
  });

  test("are the namespace's own again when it is over", async () => {
    await ports.close();
    await assert.rejects(say("127.0.0.1", OPEN_PORT, "hello"), /Connection refused/);
    ports = PortForward.open(pod.namespace, () => Promise.reject(new Error("no guest")), logger);
    await assert.rejects(say("127.0.0.1", OPEN_PORT, "hello"));
  });
});
