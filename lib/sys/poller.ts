import { createEventfd, drainEventfd, signalEventfd } from "./eventfd.js";
import { close } from "./file.js";
import { addressOf, bindAsync, bindLazily, check } from "./libc.js";

const epollCreate1 = bindLazily<(flags: number) => number>("int epoll_create1(int flags)");
const epollCtl = bindLazily<(epoll: number, operation: number, fd: number, event: number) => number>(
  "int epoll_ctl(int epoll, int operation, int fd, uintptr_t event)",
);

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EPOLLIN = 0x1;
const EPOLLOUT = 0x4;
const EPOLLERR = 0x8;
const EPOLLHUP = 0x10;
const EPOLLRDHUP = 0x2000;

/** struct epoll_event is packed on x86-64: u32 events, u64 data. */
const EVENT_BYTES = 12;
const EVENTS_MAX = 64;
const FOR_EVER = -1;

/** What a descriptor is ready for. An end of stream or an error counts as readable: reading tells. */
export interface Readiness {
  readonly readable: boolean;
  readonly writable: boolean;
  /** The other side has gone, in both directions. */
  readonly hungUp: boolean;
}

export interface Watch {
  /**
   * Changes what is waited for. With neither nothing is reported, not even that the other side is gone: that would be reported
   * again and again to somebody who does not look.
   */
  set(readable: boolean, writable: boolean): void;
  /** Ends the watch; the callback is not called again. To be called before the descriptor is closed. */
  remove(): void;
}

interface Watched {
  readonly fd: number;
  readonly onReady: (readiness: Readiness) => void;
}

/**
 * Watches descriptors that Node has no handle for - eventfds, vsock and vhost-user sockets - from Node's event loop: an epoll
 * instance that is waited for on one thread of libuv's pool. It is level-triggered. Between two callbacks nothing is allocated
 * or copied but the event list.
 *
 * While a poller is open the process lives.
 */
export class Poller {
  readonly #epoll = check(epollCreate1(EPOLL_CLOEXEC), "epoll_create1");
  readonly #wake = createEventfd();
  readonly #events = new DataView(new ArrayBuffer(EVENT_BYTES * EVENTS_MAX));
  readonly #eventsAddress = addressOf(this.#events);
  readonly #event = new DataView(new ArrayBuffer(EVENT_BYTES));
  readonly #eventAddress = addressOf(this.#event);
  /** By a number of its own, not by descriptor: a late event must not reach the next owner of the same descriptor. */
  readonly #watched = new Map<number, Watched>();
  #nextId = 1;
  #isClosed = false;

  readonly #epollWait = bindAsync<[epoll: number, events: number, count: number, timeoutMs: number]>(
    "int epoll_wait(int epoll, uintptr_t events, int count, int timeoutMs)",
  );

  constructor() {
    this.watch(this.#wake, () => drainEventfd(this.#wake));
    this.#wait();
  }

  /**
   * Calls `onReady` whenever `fd` is readable, until that is changed by {@link Watch.set}. The descriptor stays the caller's.
   * @throws SysError
   */
  watch(fd: number, onReady: (readiness: Readiness) => void): Watch {
    const id = this.#nextId++;
    this.#control(EPOLL_CTL_ADD, fd, id, EPOLLIN);
    this.#watched.set(id, { fd, onReady });
    let isInSet = true;
    return {
      set: (readable, writable) => {
        if (!this.#watched.has(id) || this.#isClosed) return;
        const events = (readable ? EPOLLIN | EPOLLRDHUP : 0) | (writable ? EPOLLOUT : 0);
        // A hang-up is reported even to those who ask for nothing, unless the descriptor is not in the set.
        if (events !== 0) this.#control(isInSet ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, id, events);
        else if (isInSet) this.#control(EPOLL_CTL_DEL, fd, id, 0);
        isInSet = events !== 0;
      },
      remove: () => {
        if (!this.#watched.delete(id) || this.#isClosed) return;
        if (isInSet) this.#control(EPOLL_CTL_DEL, fd, id, 0);
      },
    };
  }

  /** Ends all watches. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#watched.clear();
    // The descriptors are in use until the thread is back.
    signalEventfd(this.#wake);
  }

  #control(operation: number, fd: number, id: number, events: number): void {
    this.#event.setUint32(0, events, true);
    this.#event.setUint32(4, id, true);
    check(epollCtl(this.#epoll, operation, fd, this.#eventAddress), "epoll_ctl", `descriptor ${fd}`);
  }

  #wait(): void {
    this.#epollWait(this.#epoll, this.#eventsAddress, EVENTS_MAX, FOR_EVER, (count) => {
      // Negative after a signal: the next call finds what there is.
      try {
        for (let index = 0; index < count; index++) this.#dispatch(index * EVENT_BYTES);
      } finally {
        if (this.#isClosed) {
          close(this.#epoll);
          close(this.#wake);
        } else this.#wait();
      }
    });
  }

  #dispatch(offset: number): void {
    const watched = this.#watched.get(this.#events.getUint32(offset + 4, true));
    if (watched === undefined) return;
    const events = this.#events.getUint32(offset, true);
    watched.onReady({
      readable: (events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP)) !== 0,
      writable: (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) !== 0,
      hungUp: (events & EPOLLHUP) !== 0,
    });
  }
}
