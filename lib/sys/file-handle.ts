import { AT_EMPTY_PATH, O_CLOEXEC } from "./file.js";
import { addressOf, bind, permanentAddressOf } from "./libc.js";

const nameToHandleAt = bind<
  (dir: number, path: number, handle: number, mountId: number, flags: number) => number
>("int name_to_handle_at(int dir, uintptr_t path, uintptr_t handle, uintptr_t mountId, int flags)");
const openByHandleAt = bind<(mountFd: number, handle: number, flags: number) => number>(
  "int open_by_handle_at(int mountFd, uintptr_t handle, int flags)",
);

/** MAX_HANDLE_SZ: no file system's handles are longer. */
export const FILE_HANDLE_BYTES_MAX = 128;

// struct file_handle.
const HANDLE_BYTES = 0;
const HANDLE_TYPE = 4;
const F_HANDLE = 8;

const emptyPathAddress = permanentAddressOf(new Uint8Array(1));

/**
 * One `struct file_handle`, filled again and again: what a file system finds an inode by, under whatever name and even without one. It
 * holds a generation number, so that it never comes to mean another inode with the same number.
 */
export class FileHandle {
  readonly #view = new DataView(new ArrayBuffer(F_HANDLE + FILE_HANDLE_BYTES_MAX));
  readonly #address = addressOf(this.#view);
  readonly #mountId = new Int32Array(1);
  readonly #mountIdAddress = addressOf(this.#mountId);
  /** The handle itself: the first {@link byteLength} bytes count. */
  readonly bytes = new Uint8Array(this.#view.buffer, F_HANDLE, FILE_HANDLE_BYTES_MAX);

  get byteLength(): number {
    return this.#view.getUint32(HANDLE_BYTES, true);
  }
  get type(): number {
    return this.#view.getInt32(HANDLE_TYPE, true);
  }
  /** The mount through which the object was reached when the handle was read: low half of statx's mount id. */
  get mountId(): number {
    return (this.#mountId[0] ?? 0) >>> 0;
  }

  /** Sets type and length of a handle whose bytes are put into {@link bytes}. */
  set(type: number, byteLength: number): void {
    this.#view.setUint32(HANDLE_BYTES, byteLength, true);
    this.#view.setInt32(HANDLE_TYPE, type, true);
  }

  /** Asks for the handle of the object `name` in directory `dir`, symbolic links not followed. @returns 0, or -1 with errno set. */
  readName(dir: number, nameAddress: number): number {
    this.set(0, FILE_HANDLE_BYTES_MAX);
    return nameToHandleAt(dir, nameAddress, this.#address, this.#mountIdAddress, 0);
  }

  /** Asks for the handle of the object that `fd` refers to, O_PATH descriptors included. @returns 0, or -1 with errno set. */
  readFd(fd: number): number {
    this.set(0, FILE_HANDLE_BYTES_MAX);
    return nameToHandleAt(fd, emptyPathAddress, this.#address, this.#mountIdAddress, AT_EMPTY_PATH);
  }

  /** A hash of type and bytes, 32 bits. */
  hash(seed: number): number {
    let hash = Math.imul(seed ^ this.type, 0x85ebca6b);
    for (let index = 0; index < this.byteLength; index++) {
      hash = Math.imul(hash ^ (this.bytes[index] ?? 0), 0x01000193);
      hash ^= hash >>> 15;
    }
    return hash >>> 0;
  }

  /**
   * Opens the object, seen through the mount that `mountFd` is on, which is not an O_PATH descriptor. Needs CAP_DAC_READ_SEARCH.
   * @returns a descriptor, or -1 with errno set: ESTALE if the object is gone
   */
  open(mountFd: number, flags: number): number {
    return openByHandleAt(mountFd, this.#address, flags | O_CLOEXEC);
  }
}
