import type { VirtqueueError } from "../virtio/virtqueue-error.js";

/** What a back end is: the part that does not depend on the front end. */
export interface VhostUserDeviceModel {
  readonly queueCount: number;
  /** Feature bits of the device type; those of rings and transport are added. */
  readonly features: bigint;
  /** The device's configuration space; where it is empty, the front end has one of its own. */
  readonly config: Uint8Array;
  /** Sizes of shared-memory regions by shmid; none if the device has none. */
  readonly shmemSizesBytes: readonly number[];
  /**
   * Whether messages are answered when the front end asks for it. A device that only takes note of memory regions does better
   * without: QEMU then does not wait for it at each DAX map.
   */
  readonly acknowledges: boolean;
}

/** What the back end reports to the device. */
export interface VhostUserEvents {
  /** A queue started, or its kick descriptor changed. */
  queueStarted(index: number): void;
  /** A queue that ran was stopped: the machine is paused, or its driver is resetting the device. Which of these it is shows later. */
  queueStopped(index: number): void;
  /**
   * The driver, or the machine, has reset the device, and the front end dropped all maps. Told by RESET_DEVICE, or else when a queue is set up
   * that is not the one that was stopped: "GET_VRING_BASE" and "SET_VRING_BASE" do not match.
   */
  deviceReset(): void;
  /** The front end took the socket for requests of the back end to be `fd`, which stays the back end's. */
  backendSocket(fd: number): void;
  /** A queue is of no use any more: the guest broke the rules. */
  queueBroken(index: number, error: VirtqueueError): void;
}
