import { execFileSync, spawnSync } from "node:child_process";
import { NetworkNamespace } from "../sys/network-namespace.js";

/** A network namespace for a test, and the words of ip(8) and tc(8) in it. */
export class TestNamespace {
  readonly namespace = NetworkNamespace.create();

  /** Runs a program in the namespace. @returns what it prints; throws when it fails */
  run(...[file = "", ...args]: readonly string[]): string {
    return this.namespace.run(() =>
      execFileSync(file, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }),
    );
  }

  ip(words: string): string {
    return this.run("ip", ...words.split(" "));
  }

  /** A pair of interfaces, one in each of two namespaces, both up. */
  joinWith(other: TestNamespace, name: string, othersName: string): void {
    this.ip(`link add ${name} type veth peer name ${othersName}`);
    this.ip(`link set ${othersName} netns /proc/${process.pid}/fd/${other.namespace.fd}`);
    this.ip(`link set ${name} up`);
    other.ip(`link set ${othersName} up`);
  }

  close(): void {
    this.namespace.close();
  }
}

/** Why tests with namespaces cannot be done here; false when they can. */
export function withoutNamespaces(): string | false {
  if (process.getuid?.() !== 0) return "needs root";
  return spawnSync("ip", ["-V"]).status === 0 ? false : "needs ip, of iproute2";
}
