import { bindLazily, viewAt } from "./libc.js";

const getgrnam = bindLazily<(name: string) => bigint>("uintptr_t getgrnam(const char* name)");

/** Where gr_gid stands in struct group, behind two pointers, and what is read of the structure to get at it. */
const GR_GID_OFFSET = 16;
const GROUP_BYTES = 24;

/** The id of the group of that name, or undefined where there is none. Asks what nsswitch.conf(5) says. */
export function groupId(name: string): number | undefined {
  const address = Number(getgrnam(name));
  if (address === 0) return undefined;
  return new DataView(viewAt(address, GROUP_BYTES)).getUint32(GR_GID_OFFSET, true);
}
