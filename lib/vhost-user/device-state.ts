import { GuestMemory } from "../virtio/guest-memory.js";
import type { VringState } from "../virtio/split-virtqueue.js";

/** One queue as the front end set it up. Descriptors are -1 where there are none. */
export interface DeviceVring extends VringState {
  kickFd: number;
  callFd: number;
  errFd: number;
  isEnabled: boolean;
}

/**
 * What the front end has told a back end: everything that a worker needs to go on where another one stopped. The code that works on
 * it is {@link import("./backend.js").VhostUserBackend}.
 */
export interface DeviceState {
  /** Features that the front end acknowledged. */
  features: bigint;
  protocolFeatures: bigint;
  readonly memory: GuestMemory;
  readonly vrings: readonly DeviceVring[];
  /** The socket for requests of the back end, or -1. */
  backendFd: number;
}

export function createDeviceState(queueCount: number): DeviceState {
  return {
    features: 0n,
    protocolFeatures: 0n,
    memory: new GuestMemory(),
    vrings: Array.from({ length: queueCount }, createVring),
    backendFd: -1,
  };
}

function createVring(): DeviceVring {
  return {
    size: 0,
    descriptorAddress: 0,
    availAddress: 0,
    usedAddress: 0,
    lastAvail: 0,
    kickFd: -1,
    callFd: -1,
    errFd: -1,
    isEnabled: false,
  };
}
