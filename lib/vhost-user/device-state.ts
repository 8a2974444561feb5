import { type AllocateTable, allocateOwn } from "../sys/shared-tables.js";
import { GuestMemory } from "../virtio/guest-memory.js";
import { InFlight } from "../virtio/in-flight.js";
import { REGION_RECORDS_BYTES, RegionRecords } from "../virtio/region-records.js";
import { QUEUE_SIZE_MAX, type VringState } from "../virtio/split-virtqueue.js";
import { RECEIVED_BYTES, receivedDescriptors } from "./connection.js";

const DEVICE = {
  bytes: 32,
  features: 0,
  protocolFeatures: 8,
  backendFdPlusOne: 16,
  socketFdPlusOne: 20,
  owed: 24,
} as const;
const VRING = {
  bytes: 64,
  size: 0,
  lastAvail: 4,
  kickFdPlusOne: 8,
  callFdPlusOne: 12,
  errFdPlusOne: 16,
  flags: 20,
  descriptorAddress: 24,
  availAddress: 32,
  usedAddress: 40,
  /** Two numbers of {@link InFlight}. */
  publishing: 48,
  /** Another number of {@link InFlight}, float64. */
  taken: 56,
} as const;
const VringFlag = { isEnabled: 1, isStarted: 2, wasUsed: 4 } as const;

/** One queue as the front end set it up. Descriptors are -1 where there are none. */
export class DeviceVring implements VringState {
  readonly inFlight: InFlight;

  constructor(
    private readonly view: DataView,
    private readonly record: number,
    entries: DataView,
  ) {
    this.inFlight = new InFlight(
      new Float64Array(entries.buffer, entries.byteOffset, QUEUE_SIZE_MAX),
      new Uint32Array(view.buffer, view.byteOffset + record + VRING.publishing, 2),
      new Float64Array(view.buffer, view.byteOffset + record + VRING.taken, 1),
    );
  }

  get size(): number {
    return this.view.getUint32(this.record + VRING.size, true);
  }
  set size(size: number) {
    this.view.setUint32(this.record + VRING.size, size, true);
  }
  get lastAvail(): number {
    return this.view.getUint32(this.record + VRING.lastAvail, true);
  }
  set lastAvail(index: number) {
    this.view.setUint32(this.record + VRING.lastAvail, index, true);
  }
  get descriptorAddress(): number {
    return this.view.getFloat64(this.record + VRING.descriptorAddress, true);
  }
  set descriptorAddress(address: number) {
    this.view.setFloat64(this.record + VRING.descriptorAddress, address, true);
  }
  get availAddress(): number {
    return this.view.getFloat64(this.record + VRING.availAddress, true);
  }
  set availAddress(address: number) {
    this.view.setFloat64(this.record + VRING.availAddress, address, true);
  }
  get usedAddress(): number {
    return this.view.getFloat64(this.record + VRING.usedAddress, true);
  }
  set usedAddress(address: number) {
    this.view.setFloat64(this.record + VRING.usedAddress, address, true);
  }
  get kickFd(): number {
    return this.view.getInt32(this.record + VRING.kickFdPlusOne, true) - 1;
  }
  set kickFd(fd: number) {
    this.view.setInt32(this.record + VRING.kickFdPlusOne, fd + 1, true);
  }
  get callFd(): number {
    return this.view.getInt32(this.record + VRING.callFdPlusOne, true) - 1;
  }
  set callFd(fd: number) {
    this.view.setInt32(this.record + VRING.callFdPlusOne, fd + 1, true);
  }
  get errFd(): number {
    return this.view.getInt32(this.record + VRING.errFdPlusOne, true) - 1;
  }
  set errFd(fd: number) {
    this.view.setInt32(this.record + VRING.errFdPlusOne, fd + 1, true);
  }
  get isEnabled(): boolean {
    return this.#has(VringFlag.isEnabled);
  }
  set isEnabled(is: boolean) {
    this.#set(VringFlag.isEnabled, is);
  }
  /** Whether a worker serves it, once it is enabled. */
  get isStarted(): boolean {
    return this.#has(VringFlag.isStarted);
  }
  set isStarted(is: boolean) {
    this.#set(VringFlag.isStarted, is);
  }
  /** Whether the driver has used it since the device was reset. */
  get wasUsed(): boolean {
    return this.#has(VringFlag.wasUsed);
  }
  set wasUsed(was: boolean) {
    this.#set(VringFlag.wasUsed, was);
  }

  #has(flag: number): boolean {
    return (this.view.getUint32(this.record + VRING.flags, true) & flag) !== 0;
  }
  #set(flag: number, isSet: boolean): void {
    const flags = this.view.getUint32(this.record + VRING.flags, true);
    this.view.setUint32(this.record + VRING.flags, isSet ? flags | flag : flags & ~flag, true);
  }
}

/**
 * What the front end has told a back end: everything that a worker needs to go on where another one stopped, in tables that may outlive it. The
 * code that works on it is {@link import("./backend.js").VhostUserBackend}.
 */
export class DeviceState {
  readonly #view: DataView;
  readonly #regions: RegionRecords;
  readonly memory: GuestMemory;
  /** Of the connection's {@link import("./connection.js").MessageReceiver}. */
  readonly received: DataView;
  readonly vrings: readonly DeviceVring[];

  constructor(queueCount: number, allocate: AllocateTable = allocateOwn) {
    this.#view = allocate(DEVICE.bytes);
    const vrings = allocate(queueCount * VRING.bytes);
    this.vrings = Array.from({ length: queueCount }, (_, index) => {
      return new DeviceVring(vrings, index * VRING.bytes, allocate(8 * QUEUE_SIZE_MAX));
    });
    this.received = allocate(RECEIVED_BYTES);
    this.#regions = new RegionRecords(allocate(REGION_RECORDS_BYTES));
    // What the last message brought is not the regions' until it has been dealt with: it will be dealt with again.
    for (const fd of receivedDescriptors(this.received)) this.#regions.remove(fd);
    this.memory = new GuestMemory(this.#regions);
  }

  /** Features that the front end acknowledged. */
  get features(): bigint {
    return this.#view.getBigUint64(DEVICE.features, true);
  }
  set features(features: bigint) {
    this.#view.setBigUint64(DEVICE.features, features, true);
  }
  get protocolFeatures(): bigint {
    return this.#view.getBigUint64(DEVICE.protocolFeatures, true);
  }
  set protocolFeatures(features: bigint) {
    this.#view.setBigUint64(DEVICE.protocolFeatures, features, true);
  }
  /** The socket for requests of the back end, or -1. */
  get backendFd(): number {
    return this.#view.getInt32(DEVICE.backendFdPlusOne, true) - 1;
  }
  set backendFd(fd: number) {
    this.#view.setInt32(DEVICE.backendFdPlusOne, fd + 1, true);
  }
  /** The connection of the front end, or -1 while there is none. */
  get socketFd(): number {
    return this.#view.getInt32(DEVICE.socketFdPlusOne, true) - 1;
  }
  set socketFd(fd: number) {
    this.#view.setInt32(DEVICE.socketFdPlusOne, fd + 1, true);
  }
  /** Requests of the back end that were sent and not answered. */
  get owed(): number {
    return this.#view.getUint32(DEVICE.owed, true);
  }
  set owed(count: number) {
    this.#view.setUint32(DEVICE.owed, count, true);
  }

  /** All descriptors in here. */
  descriptors(): number[] {
    return [
      this.socketFd,
      this.backendFd,
      ...this.vrings.flatMap(({ kickFd, callFd, errFd }) => [kickFd, callFd, errFd]),
      ...this.#regions.all().map(({ fd }) => fd),
      ...receivedDescriptors(this.received),
    ].filter((fd) => fd >= 0);
  }
}
