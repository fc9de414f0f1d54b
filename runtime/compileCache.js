import { enableCompileCache } from "node:module"

// Loaded before everything else, so that later starts use compiled code from a temporary folder. In JavaScript, so that
// loading it needs nothing else.
enableCompileCache()
