/**
 * What keeps kata-fs from working on this machine at all, in the words of setup/setup-error.ts. Plain JavaScript without
 * dependencies: it is asked before anything is installed or built.
 *
 * @returns {{ found: string, needed: string } | undefined}
 */
export function machineObstacle() {
  const { platform, arch, versions } = process;
  if (platform !== "linux" || arch !== "x64") {
    return { found: `${platform} on ${arch}`, needed: "Linux on x86-64" };
  }
  if (Number.parseInt(versions.node, 10) < 20) {
    return { found: `Node.js ${versions.node}`, needed: "Node.js 20 or newer" };
  }
  const user = process.geteuid?.();
  if (user !== 0) return { found: `user id ${user}`, needed: "root, for mounts and for containerd" };
  return undefined;
}
