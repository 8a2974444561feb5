import { Errno, SysError } from "./errno.js";
import { close } from "./file.js";
import { addressOf, bindLazily, check } from "./libc.js";
import { architectureOfHost, syscallNumber } from "./syscall-number.js";

const syscall = bindLazily<(nr: number, command: number, attributes: number, bytes: number) => number>(
  "int64_t syscall(int64_t nr, int64_t command, uintptr_t attributes, uint64_t bytes)",
);

/** enum bpf_cmd of linux/bpf.h. */
const Command = { mapCreate: 0, mapUpdateElement: 2, programLoad: 5, linkCreate: 28 } as const;
const BPF_MAP_TYPE_SOCKMAP = 15;
const BPF_PROG_TYPE_SK_LOOKUP = 30;
/** enum bpf_attach_type. */
const BPF_SK_LOOKUP = 36;
/** The source register of a 64-bit load whose value is the descriptor of a map. */
const BPF_PSEUDO_MAP_FD = 1;
/** enum bpf_func_id. */
const Helper = { mapLookupElement: 1, skRelease: 86, skAssign: 124 } as const;
const SK_PASS = 1;
/** Of `union bpf_attr`, as much as each command needs. */
const MAP_ATTRIBUTES_BYTES = 20;
const ELEMENT_ATTRIBUTES_BYTES = 32;
const PROGRAM_ATTRIBUTES_BYTES = 72;
const LINK_ATTRIBUTES_BYTES = 16;
/** struct bpf_insn: code 1, registers 1 (source in the upper half), offset 2, immediate 4. */
const INSTRUCTION_BYTES = 8;

type Instruction = readonly [code: number, target: number, source: number, offset: number, immediate: number];

/**
 * Hands every TCP connection that is made in a network namespace to one listening socket, whatever address and port it is for: an eBPF program
 * at BPF_SK_LOOKUP (Documentation/bpf/prog_sk_lookup.rst of the kernel, since 5.9). Listeners of others in the namespace get none.
 * The accepted socket's own address is the one that the connection is for.
 *
 * @returns a descriptor, close-on-exec, as long as which is open it is so @throws SysError EPERM without CAP_BPF and CAP_NET_ADMIN
 */
export function steerConnections(namespaceFd: number, listenerFd: number): number {
  const map = createSocketMap(listenerFd);
  try {
    const program = loadProgram(map);
    try {
      const attributes = Buffer.alloc(LINK_ATTRIBUTES_BYTES);
      attributes.writeUInt32LE(program, 0);
      attributes.writeUInt32LE(namespaceFd, 4);
      attributes.writeUInt32LE(BPF_SK_LOOKUP, 8);
      return bpf(Command.linkCreate, attributes, "BPF_LINK_CREATE");
    } finally {
      close(program);
    }
  } finally {
    close(map);
  }
}

/** A map of one socket, at index 0. */
function createSocketMap(socketFd: number): number {
  const attributes = Buffer.alloc(MAP_ATTRIBUTES_BYTES);
  for (const [index, value] of [BPF_MAP_TYPE_SOCKMAP, 4, 8, 1].entries())
    attributes.writeUInt32LE(value, 4 * index);
  const map = bpf(Command.mapCreate, attributes, "BPF_MAP_CREATE");
  try {
    const key = Buffer.alloc(4);
    const value = Buffer.alloc(8);
    value.writeUInt32LE(socketFd);
    const element = Buffer.alloc(ELEMENT_ATTRIBUTES_BYTES);
    element.writeUInt32LE(map, 0);
    element.writeBigUInt64LE(BigInt(addressOf(key)), 8);
    element.writeBigUInt64LE(BigInt(addressOf(value)), 16);
    bpf(Command.mapUpdateElement, element, "BPF_MAP_UPDATE_ELEM");
    return map;
  } catch (error) {
    close(map);
    throw error;
  }
}

function loadProgram(map: number): number {
  const instructions = Buffer.concat(assignSocketOf(map).map(encode));
  const license = Buffer.from("Apache-2.0\0");
  const attributes = Buffer.alloc(PROGRAM_ATTRIBUTES_BYTES);
  attributes.writeUInt32LE(BPF_PROG_TYPE_SK_LOOKUP, 0);
  attributes.writeUInt32LE(instructions.length / INSTRUCTION_BYTES, 4);
  attributes.writeBigUInt64LE(BigInt(addressOf(instructions)), 8);
  attributes.writeBigUInt64LE(BigInt(addressOf(license)), 16);
  attributes.writeUInt32LE(BPF_SK_LOOKUP, 68);
  return bpf(Command.programLoad, attributes, "BPF_PROG_LOAD");
}

/** `bpf_sk_assign(context, map[0], 0)`. What does not fit the socket, such as a datagram, goes on as if there were no program. */
function assignSocketOf(map: number): Instruction[] {
  const call = (helper: number): Instruction => [0x85, 0, 0, 0, helper];
  const move = (to: number, from: number): Instruction => [0xbf, to, from, 0, 0];
  const set = (to: number, value: number): Instruction => [0xb7, to, 0, 0, value];
  return [
    move(6, 1),
    // The key: u32 0 at the frame's end.
    [0x62, 10, 0, -4, 0],
    [0x18, 1, BPF_PSEUDO_MAP_FD, 0, map],
    [0, 0, 0, 0, 0],
    move(2, 10),
    [0x07, 2, 0, 0, -4],
    call(Helper.mapLookupElement),
    // No socket: to the end.
    [0x15, 0, 0, 7, 0],
    move(7, 0),
    move(1, 6),
    move(2, 0),
    set(3, 0),
    call(Helper.skAssign),
    move(1, 7),
    call(Helper.skRelease),
    set(0, SK_PASS),
    [0x95, 0, 0, 0, 0],
  ];
}

function encode([code, target, source, offset, immediate]: Instruction): Buffer {
  const bytes = Buffer.alloc(INSTRUCTION_BYTES);
  bytes.writeUInt8(code, 0);
  bytes.writeUInt8(target | (source << 4), 1);
  bytes.writeInt16LE(offset, 2);
  bytes.writeInt32LE(immediate, 4);
  return bytes;
}

function bpf(command: number, attributes: Buffer, name: string): number {
  const architecture = architectureOfHost();
  const nr = architecture && syscallNumber("bpf", architecture);
  if (nr === undefined) throw SysError.fromErrno(Errno.ENOSYS, "bpf", name);
  return check(syscall(nr, command, addressOf(attributes), attributes.length), "bpf", name);
}
