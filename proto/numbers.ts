import protobuf from "protobufjs/minimal.js";

// protobufjs decodes 64-bit fields to Long objects where the package `long` is at hand, and to numbers where it is not. Our
// fields fit 53 bits, and the types that are generated for them say `number`: let no installed package change that.
Object.assign(protobuf.util, { Long: undefined });
protobuf.configure();
