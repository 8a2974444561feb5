/**
 * The shared-memory window of a device (vhost-user SHMEM, shmid 0), as a device implementation sees it. All numbers in bytes.
 * Calls block until the front end answered, serving the front end's own messages meanwhile.
 */
export interface ShmemWindow {
  readonly lengthBytes: number;
  /** False while the device is not started: mapping then would crash QEMU. */
  readonly active: boolean;
  /** Maps `lengthBytes` of `fd` from `fdOffset` at `shmOffset`; returns once the map is live in the guest. @throws ShmemError */
  map(fd: number, fdOffset: number, shmOffset: number, lengthBytes: number, writable: boolean): void;
  /** Removes exactly one earlier map. @throws ShmemError */
  unmap(shmOffset: number, lengthBytes: number): void;
}
