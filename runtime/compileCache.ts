import { enableCompileCache } from "node:module"

// Loaded before all else, so that a start after the first takes its code compiled, from a folder of temporary files.
enableCompileCache()
