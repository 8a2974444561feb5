import { closeSync, openSync, statSync } from "node:fs";
import { bindLazily, check } from "./libc.js";

const setns = bindLazily<(fd: number, type: number) => number>("int setns(int fd, int type)");
const unshare = bindLazily<(flags: number) => number>("int unshare(int flags)");

const CLONE_NEWNET = 0x4000_0000;
const OWN = "/proc/thread-self/ns/net";

/** An open network namespace, which lives as long as it is open at least. */
export class NetworkNamespace {
  private constructor(readonly fd: number) {}

  /** @param path of a namespace file, such as /var/run/netns/NAME @throws as Node does; SysError EINVAL when it is no network namespace */
  static open(path: string): NetworkNamespace {
    const namespace = new NetworkNamespace(openSync(path, "r"));
    try {
      namespace.run(() => {});
      return namespace;
    } catch (error) {
      namespace.close();
      throw error;
    }
  }

  /** A new one, with nothing but a loopback interface that is down. @throws SysError */
  static create(): NetworkNamespace {
    const own = openSync(OWN, "r");
    try {
      check(unshare(CLONE_NEWNET), "unshare", "CLONE_NEWNET");
      return new NetworkNamespace(openSync(OWN, "r"));
    } finally {
      returnTo(own);
    }
  }

  /** Whether it is the one that this thread is in. */
  get isOwn(): boolean {
    const [it, own] = [statSync(`/proc/self/fd/${this.fd}`), statSync(OWN)];
    return it.dev === own.dev && it.ino === own.ino;
  }

  /**
   * Calls `work` with this thread in the namespace: sockets, /dev/net/tun and child processes that it opens or starts are of the namespace, and
   * stay so. It must not wait for anything: only this thread is there, and only until it returns.
   *
   * @throws SysError, and what `work` throws
   */
  run<T>(work: () => T): T {
    const own = openSync(OWN, "r");
    try {
      check(setns(this.fd, CLONE_NEWNET), "setns", "CLONE_NEWNET");
      return work();
    } finally {
      returnTo(own);
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

function returnTo(own: number): void {
  try {
    check(setns(own, CLONE_NEWNET), "setns", "back");
  } finally {
    closeSync(own);
  }
}
