import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { TestFrontEnd } from "../../lib/vhost-user/testing/test-front-end.js";
import { createSocketPair } from "../../lib/vhost-user/testing/test-memory.js";
import { FsDevice } from "../device.js";
import { DeviceMemory } from "../device-memory.js";
import type { FsdLog } from "../fuse/fuse-server.js";
import type { DeviceOptions } from "../options/device-options.js";
import { PRESET_SHARE_POLICY } from "../passthrough/share-policy.js";
import { frontEndServer } from "./front-end-server.js";
import { TestGuest } from "./test-guest.js";

export const HIPRIO = 0;
export const REQUESTS = 1;
const RANGE = 2 << 20;
/** Calls that take long, at a time. */
const LONG_CALLS = 2;

export interface Machine {
  readonly dir: string;
  readonly device: FsDevice;
  readonly frontEnd: TestFrontEnd;
  readonly guest: TestGuest;
  readonly log: string[];
  /** What happens, once, while the device waits for a map. */
  onWait: (() => void) | undefined;
}

/** A device and a front end in one process: each works while the other waits. */
export function startDevice(t: TestContext, options: Partial<DeviceOptions> = {}): Machine {
  const dir = mkdtempSync(join(tmpdir(), "kata-fsd-"));
  const log: string[] = [];
  const logger: FsdLog = {
    debug: () => {},
    info: () => {},
    warn: (line) => log.push(line),
    error: (line) => log.push(line),
  };
  const [ours, theirs] = createSocketPair();
  const deviceOptions: DeviceOptions = {
    ...PRESET_SHARE_POLICY,
    socket: { path: "", group: undefined },
    sharedDir: dir,
    tag: "kataShared",
    requestQueues: 1,
    overlayBrokerFd: undefined,
    readOnly: true,
    dax: "inode",
    daxWindowBytes: 8 * RANGE,
    daxThresholdBytes: 4096,
    exports: [{ pattern: [], policy: "shared", dax: true }],
    ...options,
  };
  const device: FsDevice = new FsDevice(
    theirs,
    deviceOptions,
    new DeviceMemory(deviceOptions),
    logger,
    LONG_CALLS,
    (_fd, isDone) => {
      for (let turn = 0; turn < 1000; turn++) {
        if (isDone()) return true;
        const { onWait } = machine;
        machine.onWait = undefined;
        if (onWait !== undefined) {
          onWait();
          continue;
        }
        frontEnd.serve();
        device.backend.receive();
      }
      return false;
    },
  );
  const frontEnd = new TestFrontEnd(ours, () => device.backend.receive(), {
    queueCount: 2,
    queueSize: 64,
    memoryBytes: 1 << 20,
  });
  frontEnd.start();
  t.after(() => {
    device.close();
    frontEnd.close();
    rmSync(dir, { recursive: true });
  });
  const guest = new TestGuest(frontEndServer(frontEnd, () => device.serve()));
  const machine: Machine = { dir, device, frontEnd, guest, log, onWait: undefined };
  return machine;
}
