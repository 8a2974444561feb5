/** A file system that the agent mounts for the sandbox or a container (message Storage of the agent's protocol). */
export interface Storage {
  /** Names the {@link StorageDriver}. */
  readonly driver: string;
  /** `key=value` settings of the driver itself. */
  readonly driverOptions: readonly string[];
  readonly source: string;
  readonly fstype: string;
  /** fstab-style options. */
  readonly options: readonly string[];
  /** Absolute path, without `.`, `..` or a slash at its end. Identifies the storage. */
  readonly mountPoint: string;
}

/** Makes one kind of storage. Throws an AgentError or SysError, leaving nothing mounted. */
export type StorageDriver = (storage: Storage) => void;
