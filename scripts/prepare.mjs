import { build, bundle } from "./build.mjs";
import { directory } from "./directory.mjs";
import { takeLock } from "./exclusive.mjs";
import { machineObstacle } from "./requirements.mjs";

/**
 * What stands before every command of setup/main.ts: the machine is checked, the private directory locked, and the project
 * built. What goes wrong is said in one line on stderr.
 *
 * @returns {Promise<undefined | { main(argv: readonly string[]): Promise<number>, giveBackLock(): void }>} undefined when
 * something went wrong
 */
export async function prepare() {
  try {
    const obstacle = machineObstacle();
    if (obstacle) throw new Error(`${obstacle.found}; needed: ${obstacle.needed}`);
    const giveBackLock = await takeLock(directory);
    await build();
    const { main } = await import(bundle("setup.cjs"));
    return { main, giveBackLock };
  } catch (error) {
    console.error(`kata-fs: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}
