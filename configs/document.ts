import { writeFileSync } from "node:fs";
import { commentedConfiguration } from "./commented.js";

// npm run config:document: writes the commented file anew, after a key has been added or changed.
writeFileSync(new URL("config.yaml", import.meta.url), commentedConfiguration());
