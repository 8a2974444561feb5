import type { Duplex } from "node:stream";
import { drainEventfd } from "../sys/eventfd.js";
import { close, fcntl } from "../sys/file.js";
import { check } from "../sys/libc.js";
import { Poller, type Watch } from "../sys/poller.js";
import { acceptUnix, listenUnix } from "../sys/unix-socket.js";
import { VhostUserBackend } from "../vhost-user/backend.js";
import type { VhostUserEvents } from "../vhost-user/device-model.js";
import type { SplitVirtqueue } from "../virtio/split-virtqueue.js";
import { VirtqueueError } from "../virtio/virtqueue-error.js";
import { type AcceptConnection, VsockHost } from "./host.js";
import { decodeHeader, emptyHeader, HEADER_BYTES } from "./packet.js";

/** The guest's address. There is one guest to a device and no kernel in between, so every guest may have the same. */
export const GUEST_CID = 3;

/** Queues of virtio 1.3, 5.10.2. The third one, for events, is QEMU's own. */
const RX = 0;
const TX = 1;
const QUEUES = 2;

/** The most payload that Linux puts into a packet. */
const PAYLOAD_MAX_BYTES = 64 * 1024;
const F_DUPFD_CLOEXEC = 1030;

export interface VsockDeviceOptions {
  /** Takes connections that the guest makes; without it they are refused. */
  readonly accept?: AcceptConnection;
  /** Told why the device is of no further use, unless it was closed: QEMU has gone or broke the protocol. */
  readonly onLost?: (reason: string) => void;
}

/** A virtio socket device, served to QEMU over vhost-user. */
export interface VsockDevice {
  /**
   * Connects to a port of the guest. A guest whose driver is not there yet is waited for.
   *
   * @throws VsockError
   */
  connect(port: number, signal?: AbortSignal): Promise<Duplex>;
  close(): void;
}

/**
 * Serves a device at a UNIX socket for one front end, in Node's event loop.
 *
 * @throws SysError when the socket cannot be listened on
 */
export function createVsockDevice(socketPath: string, options: VsockDeviceOptions = {}): VsockDevice {
  return new Device(socketPath, options);
}

class Device implements VsockDevice, VhostUserEvents {
  readonly #poller = new Poller();
  readonly #host: VsockHost;
  readonly #kicks: (Kick | undefined)[] = new Array(QUEUES).fill(undefined);
  readonly #header = emptyHeader();
  readonly #headerBytes = new Uint8Array(HEADER_BYTES);
  readonly #headerView = new DataView(this.#headerBytes.buffer);
  readonly #onLost: (reason: string) => void;
  #listening: { readonly fd: number; readonly watch: Watch } | undefined;
  #front: { readonly backend: VhostUserBackend; readonly watch: Watch } | undefined;
  #isSending = false;
  #isClosed = false;

  constructor(socketPath: string, { accept = () => false, onLost = () => {} }: VsockDeviceOptions) {
    this.#onLost = onLost;
    this.#host = new VsockHost(GUEST_CID, accept, () => this.#send());
    const fd = listenUnix(socketPath);
    this.#listening = { fd, watch: this.#poller.watch(fd, () => this.#acceptFrontEnd(fd)) };
  }

  connect(port: number, signal?: AbortSignal): Promise<Duplex> {
    return this.#host.connect(port, signal);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#host.reset("the device is closed");
    this.#stopListening();
    for (const index of this.#kicks.keys()) this.#unwatchKick(index);
    this.#front?.watch.remove();
    this.#front?.backend.close();
    this.#front = undefined;
    this.#poller.close();
  }

  queueStarted(index: number): void {
    this.#unwatchKick(index);
    const kickFd = this.#front?.backend.queues.kickFd(index) ?? -1;
    if (kickFd < 0) return;
    // A descriptor of our own: the back end may close its one before we are told.
    const fd = check(fcntl(kickFd, F_DUPFD_CLOEXEC, 0), "fcntl", "F_DUPFD_CLOEXEC");
    const watch = this.#poller.watch(fd, () => {
      drainEventfd(fd);
      this.#attempt(() => this.#serve());
    });
    this.#kicks[index] = { fd, watch };
    this.#attempt(() => this.#serve());
  }

  queueStopped(index: number): void {
    this.#unwatchKick(index);
  }

  /** A machine that is only paused finds its connections again. */
  deviceReset(): void {
    this.#host.reset("the guest's vsock driver has stopped");
  }

  backendSocket(): void {}

  queueBroken(index: number, error: VirtqueueError): void {
    this.#fail(`queue ${index}: the guest broke the rules: ${error.message}`);
  }

  #acceptFrontEnd(listeningFd: number): void {
    this.#attempt(() => {
      const fd = acceptUnix(listeningFd);
      this.#stopListening();
      const backend = new VhostUserBackend(
        fd,
        {
          queueCount: QUEUES,
          features: 0n,
          config: configurationSpace(),
          shmemSizesBytes: [],
          // Only takes note of memory regions: each DAX map of the file system devices is announced here as well.
          acknowledges: false,
        },
        this,
      );
      const watch = this.#poller.watch(fd, () => {
        this.#attempt(() => {
          if (!backend.receive()) this.#fail("QEMU has closed the connection");
        });
      });
      this.#front = { backend, watch };
    });
  }

  /** Takes what the guest sent, then sends what waits for it. */
  #serve(): void {
    this.#receive();
    this.#send();
  }

  #receive(): void {
    const queue = this.#queue(TX);
    if (queue === undefined) return;
    do {
      queue.suppressNotifications();
      while (this.#host.hasRoom) {
        const head = queue.next();
        if (head < 0) break;
        this.#take(queue);
        // What the packet caused may have stopped the queue.
        if (this.#queue(TX) !== queue) return;
        queue.complete(head, 0);
      }
      this.#front?.backend.queues.publish(TX);
      // Without room for answers the guest is listened to again when it has given buffers for those that wait.
    } while (queue.requestNotifications() && this.#host.hasRoom);
  }

  #take({ readable }: SplitVirtqueue): void {
    if (readable.copyIn(0, this.#headerBytes, 0, HEADER_BYTES) < HEADER_BYTES) {
      throw new VirtqueueError(`a packet of ${readable.byteLength} bytes`);
    }
    decodeHeader(this.#headerView, this.#header);
    const { len } = this.#header;
    if (len > PAYLOAD_MAX_BYTES || len > readable.byteLength - HEADER_BYTES) {
      throw new VirtqueueError(`a packet with ${len} bytes of payload in ${readable.byteLength} bytes`);
    }
    const payload = Buffer.allocUnsafe(len);
    if (readable.copyIn(HEADER_BYTES, payload, 0, len) < len) {
      throw new VirtqueueError(`a packet whose ${len} bytes of payload are not in memory`);
    }
    this.#host.receive(this.#header, payload);
  }

  #send(): void {
    if (this.#isSending || this.#isClosed) return;
    this.#isSending = true;
    try {
      this.#attempt(() => this.#fillBuffers());
    } finally {
      this.#isSending = false;
    }
  }

  #fillBuffers(): void {
    const hadRoom = this.#host.hasRoom;
    const queue = this.#queue(RX);
    if (queue === undefined) return;
    for (let head = queue.next(); head >= 0; head = queue.next()) {
      if (queue.writable.byteLength < HEADER_BYTES) {
        throw new VirtqueueError(`a buffer of ${queue.writable.byteLength} bytes for a packet`);
      }
      const length = this.#host.send(queue.writable);
      if (length === 0) {
        queue.putBack();
        break;
      }
      queue.complete(head, length);
    }
    this.#front?.backend.queues.publish(RX);
    queue.requestNotifications();
    if (!hadRoom && this.#host.hasRoom) setImmediate(() => this.#attempt(() => this.#serve()));
  }

  #queue(index: number): SplitVirtqueue | undefined {
    return this.#front?.backend.queues.get(index);
  }

  /** Whatever goes wrong with the guest or QEMU ends the device, not the process. */
  #attempt(work: () => void): void {
    if (this.#isClosed) return;
    try {
      work();
    } catch (error) {
      this.#fail(error instanceof Error ? error.message : String(error));
    }
  }

  #fail(reason: string): void {
    if (this.#isClosed) return;
    this.close();
    this.#onLost(reason);
  }

  #stopListening(): void {
    this.#listening?.watch.remove();
    if (this.#listening !== undefined) close(this.#listening.fd);
    this.#listening = undefined;
  }

  #unwatchKick(index: number): void {
    const kick = this.#kicks[index];
    if (kick === undefined) return;
    this.#kicks[index] = undefined;
    kick.watch.remove();
    close(kick.fd);
  }
}

interface Kick {
  readonly fd: number;
  readonly watch: Watch;
}

/** struct virtio_vsock_config: the guest's address, 64 bits. */
function configurationSpace(): Uint8Array {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint32(0, GUEST_CID, true);
  return new Uint8Array(view.buffer);
}
