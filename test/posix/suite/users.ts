/** A user of the guest who is not root. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups. */
  readonly groups?: readonly number[];
}

export const ALICE: User = { uid: 1001, gid: 1001 };
export const BOB: User = { uid: 1002, gid: 1002 };

/** Runs `action` as `user`, with no capabilities, and becomes root again. */
export function as<T>(user: User, action: () => T): T {
  const { setgroups, setegid, seteuid } = process;
  if (!setgroups || !setegid || !seteuid) throw new Error("no user can be switched to on this platform");
  setgroups([...(user.groups ?? [])]);
  setegid(user.gid);
  seteuid(user.uid);
  try {
    return action();
  } finally {
    seteuid(0);
    setegid(0);
    setgroups([]);
  }
}

/** Runs `action` with another umask. */
export function withUmask<T>(mask: number, action: () => T): T {
  const before = process.umask(mask);
  try {
    return action();
  } finally {
    process.umask(before);
  }
}
