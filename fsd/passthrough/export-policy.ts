/** Which files the guest may map: none; those the daemon marks, one by one; or all (needs a read-only device). */
export type DaxMode = "never" | "inode" | "always";

/** How long the guest may trust what it was told, as virtiofsd's option of the same name. */
export type CacheMode = "never" | "auto" | "metadata" | "always";
