import { enableCompileCache } from "node:module"

// Loaded before all else, so that a start after the first takes its code compiled, from a folder of temporary files. In
// JavaScript, so that nothing has to be loaded for it in turn.
enableCompileCache()
