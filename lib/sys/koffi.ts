import { createRequire } from "node:module";
import type Koffi from "koffi";

/**
 * koffi without its loader, which reads ELF headers of this very program, probes directories and compiles three scripts to
 * find its one native file. That takes a few milliseconds, and a second in a guest under emulation. What the loader adds to the
 * native module are deprecated names.
 */
const koffi: typeof Koffi = loadKoffi();
export default koffi;

function loadKoffi(): typeof Koffi {
  const require = createRequire(import.meta.url);
  const { platform, arch } = process;
  try {
    return require(`@koromix/koffi-${platform}-${arch}/${platform}_${arch}/koffi.node`);
  } catch {
    // A platform whose file lies elsewhere: the loader knows, or says what is missing.
    return require("koffi");
  }
}
