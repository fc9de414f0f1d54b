import { matchesGlob } from "node:path"
import { defineConfig } from "vitest/config"

/**
 * Tests that start and kill processes, a broker or a browser, wait for real time limits, or run long simulations; all others
 * belong to `npm test`.
 */
const whole = [
  ...["whole", "simulation", "console"].map((folder) => `runtime/test/${folder}/**/*.test.ts`),
  "{modules,runtime}/**/*.whole.test.ts",
]

/** Whether `npm run test:whole` runs a file. */
export const isWhole = (file: string) => whole.some((pattern) => matchesGlob(file, pattern))

/** The configuration of `npm test` or of `npm run test:whole`. */
export const configOf = (which: "quick" | "whole") =>
  defineConfig({
    test: {
      root: new URL("..", import.meta.url).pathname,
      include: which === "whole" ? whole : ["{modules,runtime}/**/*.test.ts"],
      exclude: which === "whole" ? [] : whole,
      globalSetup: ["runtime/test/harness/globalSetup.ts"],
      reporters: [
        "default",
        ["json", { outputFile: which === "whole" ? ".cache/tests-whole.json" : ".cache/tests.json" }],
      ],
      pool: "forks",
      maxWorkers: which === "whole" ? 2 : 3,
      // An embedded database takes seconds to start on a busy machine.
      testTimeout: 120_000,
      hookTimeout: 120_000,
    },
  })

export default configOf("quick")
