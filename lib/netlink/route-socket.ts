import { SysError } from "../sys/errno.js";
import { close } from "../sys/file.js";
import { addressOf, bindLazily, check } from "../sys/libc.js";
import {
  type Attribute,
  decodeError,
  decodeMessages,
  encodeMessage,
  NetlinkFormatError,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
} from "./message.js";
import {
  decodeAddress,
  decodeLink,
  decodeNeighbour,
  decodeRoute,
  dumpBody,
  type InterfaceAddress,
  type Link,
  type Neighbour,
  type Route,
  Rtm,
} from "./route.js";

const socket = bindLazily<(domain: number, type: number, protocol: number) => number>(
  "int socket(int domain, int type, int protocol)",
);
const send = bindLazily<(fd: number, bytes: number, length: number, flags: number) => number>(
  "int64_t send(int fd, uintptr_t bytes, uint64_t length, int flags)",
);
const recv = bindLazily<(fd: number, bytes: number, length: number, flags: number) => number>(
  "int64_t recv(int fd, uintptr_t bytes, uint64_t length, int flags)",
);

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
/** The kernel fills at most 32 KiB at once. */
const RECEIVE_BYTES = 64 * 1024;

/**
 * rtnetlink(7), in the network namespace that the calling thread is in when it is opened, from wherever it is used. The kernel answers at once,
 * so calls are synchronous.
 */
export class RouteSocket {
  readonly #fd = check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), "socket", "NETLINK_ROUTE");
  readonly #buffer = Buffer.alloc(RECEIVE_BYTES);
  #sequence = 0;

  links(): Link[] {
    return this.#dump(Rtm.GETLINK).map(decodeLink);
  }

  addresses(): InterfaceAddress[] {
    return this.#dump(Rtm.GETADDR).map(decodeAddress);
  }

  /** Of the main table, those that are not the kernel's own. */
  routes(): Route[] {
    return this.#dump(Rtm.GETROUTE).flatMap((payload) => decodeRoute(payload) ?? []);
  }

  neighbours(): Neighbour[] {
    return this.#dump(Rtm.GETNEIGH).flatMap((payload) => decodeNeighbour(payload) ?? []);
  }

  /**
   * Changes something.
   *
   * @param flags NLM_F_CREATE and its like
   * @param subject what an error is about
   * @throws SysError
   */
  change(
    type: number,
    [body, attributes]: readonly [Buffer, readonly Attribute[]],
    { flags = 0, subject }: { flags?: number; subject: string },
  ): void {
    const sequence = this.#send(type, NLM_F_ACK | flags, body, attributes);
    for (;;) {
      for (const message of this.#receive(sequence)) {
        if (message.type !== NLMSG_ERROR) continue;
        const errno = decodeError(message);
        if (errno !== 0) throw SysError.fromErrno(errno, "rtnetlink", subject);
        return;
      }
    }
  }

  close(): void {
    close(this.#fd);
  }

  #dump(type: number): Buffer[] {
    const sequence = this.#send(type, NLM_F_DUMP, dumpBody(type), []);
    const payloads: Buffer[] = [];
    for (;;) {
      for (const message of this.#receive(sequence)) {
        if (message.type === NLMSG_DONE) return payloads;
        if (message.type === NLMSG_ERROR)
          throw SysError.fromErrno(decodeError(message), "rtnetlink", `dump ${type}`);
        // The buffer is used again.
        payloads.push(Buffer.from(message.payload));
      }
    }
  }

  #send(type: number, flags: number, body: Buffer, attributes: readonly Attribute[]): number {
    const sequence = ++this.#sequence;
    const bytes = encodeMessage({ type, flags: NLM_F_REQUEST | flags, sequence }, body, attributes);
    check(send(this.#fd, addressOf(bytes), bytes.length, 0), "send", "NETLINK_ROUTE");
    return sequence;
  }

  /** What comes next; answers to calls that failed half way are passed over. */
  #receive(sequence: number): NetlinkMessage[] {
    const count = check(recv(this.#fd, addressOf(this.#buffer), RECEIVE_BYTES, 0), "recv", "NETLINK_ROUTE");
    if (count === 0) throw new NetlinkFormatError("the kernel has closed a netlink socket");
    return decodeMessages(this.#buffer.subarray(0, count)).filter((message) => message.sequence === sequence);
  }
}
